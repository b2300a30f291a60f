/** Why an image is skipped: one of the study's reasons. */

import { $, choices } from "./dom.js";

const OTHER = "other reason";

/** @param {string[]} reasons @returns {Promise<string | null>} null where the annotator thinks better of it */
export function askReason(reasons) {
  const dialog = $("skip-dialog");
  const options = (reasons.length ? reasons : [OTHER]).map((value) => ({ value, text: value }));
  choices($("reasons"), "reason", options, () => {});
  const inputs = [...$("reasons").querySelectorAll("input")];
  for (const input of inputs) input.required = true;
  if (inputs.length === 1) inputs[0].checked = true;
  dialog.returnValue = "";
  return new Promise((resolve) => {
    $("skip-form").onsubmit = () => (dialog.returnValue = inputs.find((input) => input.checked).value);
    dialog.onclose = () => resolve(dialog.returnValue || null);
    dialog.showModal();
    inputs[0].focus();
  });
}

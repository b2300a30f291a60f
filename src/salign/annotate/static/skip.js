/** Why an image is skipped: one of the study's reasons, or words of one's own. */

import { $, choices } from "./dom.js";

const OTHER = "other reason";

/** @param {string[]} reasons @returns {Promise<string | null>} null where the annotator thinks better of it */
export function askReason(reasons) {
  const dialog = $("skip-dialog");
  const options = (reasons.length ? reasons : [OTHER]).map((value) => ({ value, text: value }));
  choices($("reasons"), "reason", options, () => {});
  const inputs = [...$("reasons").querySelectorAll("input")];
  inputs[0].checked = true;
  $("own-reason").value = "";
  return new Promise((resolve) => {
    $("skip-form").onsubmit = () => resolve($("own-reason").value.trim() || inputs.find((input) => input.checked).value);
    dialog.oncancel = () => resolve(null);
    dialog.onclose = () => dialog.open || resolve(null); // news of an earlier closing may come when it is open again
    dialog.showModal();
    inputs[0].focus();
  });
}

/** Which study this page shows. Its name stands in every key of what this browser keeps, so that nothing crosses over. */

const LAST = "salign.study";

/** @type {{study: string | null}} as the server names it */
export const here = { study: null };

/** From now on everything is kept under this study. */
export function settle(study) {
  here.study = study;
  localStorage.setItem(LAST, study);
}

/** The study of the last visit: the only one there can be without a network. */
export const lastStudy = () => localStorage.getItem(LAST);

const place = (name) => `salign/${here.study}/${name}`;
export const recall = (name) => localStorage.getItem(place(name));
export const remember = (name, value) => localStorage.setItem(place(name), value);
export const forget = (name) => localStorage.removeItem(place(name));

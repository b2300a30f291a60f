/** The tools by the names that a study gives them: what each is called, its key, how it is used, and how it is made. */

import { Select } from "./select.js";
import { Reveal } from "./reveal.js";
import { Region, Wand } from "./smart.js";
import { Box, Brush, Ellipse, Eraser, Polygon } from "./tools.js";

/** @type {Record<string, {text: string, key: string, hint: string, make: typeof import("./tools.js").Tool}>} */
export const TOOLS = {
  brush: { text: "Brush", key: "B", hint: "Paint.", make: Brush },
  eraser: { text: "Eraser", key: "X", hint: "Paint over marks to take them away.", make: Eraser },
  polygon: { text: "Polygon", key: "P", hint: "Click point after point; click the first one to finish.", make: Polygon },
  box: { text: "Box", key: "D", hint: "Drag from corner to corner.", make: Box },
  ellipse: { text: "Ellipse", key: "O", hint: "Drag from corner to corner.", make: Ellipse },
  region: { text: "Region", key: "U", hint: "Click a region or drag over several; click again to take it away.", make: Region },
  wand: { text: "Wand", key: "L", hint: "Click to take everything around that has this colour.", make: Wand },
  reveal: { text: "Look", key: "I", hint: "Click to see that part of the image sharply.", make: Reveal },
  select: { text: "Select", key: "T", hint: "Click a mark; then drag it, its points or its corners.", make: Select },
};

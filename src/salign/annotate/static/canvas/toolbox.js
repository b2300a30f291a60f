/** The tools by the names that a study gives them: what each is called, its key, and how it is made. */

import { Select } from "./select.js";
import { Box, Brush, Ellipse, Eraser, Polygon } from "./tools.js";

/** @type {Record<string, {text: string, key: string, make: typeof import("./tools.js").Tool}>} */
export const TOOLS = {
  brush: { text: "Brush", key: "B", make: Brush },
  eraser: { text: "Eraser", key: "X", make: Eraser },
  polygon: { text: "Polygon", key: "P", make: Polygon },
  box: { text: "Box", key: "D", make: Box },
  ellipse: { text: "Ellipse", key: "O", make: Ellipse },
  select: { text: "Select", key: "T", make: Select },
};

/** Makes superpixels beside the page, so that it goes on drawing meanwhile. */

import { boxesOf, superpixels } from "./superpixels.js";

addEventListener("message", ({ data: { id, pixels, width, height, size } }) => {
  const labels = superpixels(pixels, width, height, size);
  const boxes = boxesOf(labels, width);
  postMessage({ id, labels, boxes }, [labels.buffer, boxes.buffer]);
});

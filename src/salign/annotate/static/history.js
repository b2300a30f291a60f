/**
 * Every change of the marks, in order, and how many of them hold: undo and redo without limit.
 *
 * @typedef {object} Shape as the server takes it: kind, points, erase, and radii, times, image where they apply
 * @typedef {{do: "add", shape: Shape} | {do: "replace", at: number, shapes: Shape[]} | {do: "clear"} |
 *   {do: "load", shapes: Shape[]} | {do: "blank", value: boolean}} Change `replace` puts shapes where the one at `at` was
 */

export class History {
  /** @param {Change[]} changes @param {number} at how many of them hold */
  constructor(changes = [], at = changes.length) {
    this.changes = changes;
    this.at = at;
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.changes.length;
  }

  /** @param {Change} change takes the place of what was undone */
  push(change) {
    this.changes.length = this.at;
    this.changes.push(change);
    this.at += 1;
  }

  undo() {
    if (this.canUndo) this.at -= 1;
  }

  redo() {
    if (this.canRedo) this.at += 1;
  }

  /** @returns {{shapes: Shape[], blank: boolean}} what holds now; `blank` says that there is nothing to mark */
  state() {
    let shapes = [];
    let blank = false;
    for (const change of this.changes.slice(0, this.at)) {
      if (change.do === "blank") [shapes, blank] = change.value ? [[], true] : [shapes, false];
      else {
        blank = false;
        if (change.do === "add") shapes.push(change.shape);
        else if (change.do === "replace") shapes.splice(change.at, 1, ...change.shapes);
        else shapes = change.do === "load" ? [...change.shapes] : [];
      }
    }
    return { shapes, blank };
  }
}

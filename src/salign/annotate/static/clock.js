/** How long an image has been looked at: the time while the page is visible, carried over a reload. */

export class Clock {
  /** @param {number} spent ms before this page */
  constructor(spent = 0) {
    this.spent = spent;
    this.since = null;
    this.watch = () => (document.visibilityState === "visible" ? this.go() : this.pause());
    document.addEventListener("visibilitychange", this.watch);
    this.watch();
  }

  go() {
    this.since ??= performance.now();
  }

  pause() {
    this.spent = this.at(performance.now());
    this.since = null;
  }

  stop() {
    this.pause();
    document.removeEventListener("visibilitychange", this.watch);
  }

  /** ms looked at, up to a time stamp of an event. */
  at(stamp) {
    return this.since === null ? this.spent : this.spent + Math.max(0, stamp - this.since);
  }

  get now() {
    return this.at(performance.now());
  }
}

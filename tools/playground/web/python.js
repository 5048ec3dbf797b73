// The worker that Python runs in. Questions are answered in turn; one that never ends is stopped.
export class Python {
  constructor(lost) {
    this.lost = lost;
    this.start();
  }

  start() {
    this.waiting = new Map();
    this.worker = new Worker("worker.js", { type: "module" });
    this.worker.onerror = (event) => this.stop(event.message || "worker.js cannot be loaded");
    this.worker.onmessage = ({ data: { id, answer, error, lost } }) => {
      const [done, failed] = this.waiting.get(id) ?? [];
      this.waiting.delete(id);
      if (answer) done?.(answer);
      else failed?.(new Error(error));
      if (lost) this.stop(error);
    };
  }

  ask(question) {
    const id = (this.last = (this.last ?? 0) + 1);
    return new Promise((done, failed) => {
      this.waiting.set(id, [done, failed]);
      this.worker.postMessage({ id, question });
    });
  }

  /** End it, and start another. */
  stop(reason) {
    this.worker.terminate();
    for (const [, failed] of this.waiting.values()) failed(new Error(reason));
    this.start();
    this.lost(reason);
  }
}

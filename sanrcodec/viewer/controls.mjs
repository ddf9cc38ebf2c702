// SPDX-License-Identifier: MIT
/**
 * @file The user's side: pointer, keys, sliders and buttons of the page.
 * Must not draw.
 */

const CLICK_PIXELS = 5; // that a pointer may move in a click
const MAX_ZOOM = 16;
const SHARP_ZOOM = 3; // from which pixels are shown as squares
const N_FOCUS_STEPS = 200;
const TELL_MS = 100; // between changes of the panel: drawing it costs as much as a small view

/** Connect the page to a viewer. */
export class Controls {
  constructor(viewer, document) {
    this.viewer = viewer;
    this.element = (id) => document.getElementById(id);
    this.stage = this.element("stage");
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.pointers = new Map();
    this.drag = null;
    this.timer = null;
    viewer.addEventListener("canvas", () => this.connectCanvas());
    viewer.addEventListener("opened", () => this.prepare());
    viewer.addEventListener("preview", () => this.adjustFocus());
    viewer.addEventListener("ready", () => this.adjustFocus());
    viewer.addEventListener("change", () => this.tellSoon());
    new ResizeObserver(() => this.layOut()).observe(this.stage);
    this.connectPanel(document);
    this.stage.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Limits of the sliders, once the header is known. */
  prepare() {
    const { header } = this.viewer;
    const radius = (Math.max(header.n_v, header.n_u) - 1) / 2;
    for (const [id, n] of [["row", header.n_v], ["column", header.n_u]]) {
      this.element(id).max = n - 1;
      this.element(id).disabled = n === 1;
    }
    this.element("aperture").max = radius;
    const hasDepth = header.layers > 0;
    this.element("depth").hidden = !hasDepth || radius === 0;
    this.element("overlay").hidden = !hasDepth;
    this.element("turn").hidden = radius === 0;
    this.tellState();
  }

  /** The slider of the focus runs from near to far. */
  adjustFocus() {
    const [far, near] = this.viewer.range;
    const slider = this.element("focus");
    const margin = (far - near) / 10;
    slider.min = Math.floor(near - margin);
    slider.max = Math.ceil(far + margin);
    slider.step = Math.max(1, Math.round((far - near) / N_FOCUS_STEPS));
    const { focus } = this.viewer.state;
    slider.value = focus;
    this.tellState();
  }

  connectPanel(document) {
    const { viewer } = this;
    const number = (event) => Number(event.target.value);
    const on = (id, type, act) => this.element(id).addEventListener(type, act);
    on("row", "input", (event) => viewer.set({ v: number(event), turning: false }));
    on("column", "input", (event) => viewer.set({ u: number(event), turning: false }));
    on("focus", "input", (event) => this.focusOn(number(event)));
    on("aperture", "input", (event) => viewer.set({ aperture: number(event) }));
    on("turn", "click", () => this.toggle("turning"));
    on("overlay", "click", () => this.toggle("overlay"));
    on("larger", "click", () => this.zoomBy(1.5));
    on("smaller", "click", () => this.zoomBy(1 / 1.5));
    on("whole", "click", () => this.resetZoom());
    on("full", "click", () => this.toggleFullScreen(document));
    this.element("full").hidden = !document.fullscreenEnabled;
    document.addEventListener("fullscreenchange", () => {
      this.element("full").setAttribute("aria-pressed", document.fullscreenElement !== null);
    });
  }

  connectCanvas() {
    const { canvas } = this.viewer;
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerup", (event) => this.onUp(event));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(2 ** (-event.deltaY / 300), event.clientX, event.clientY);
    }, { passive: false });
    this.layOut();
  }

  toggle(name) {
    this.viewer.set({ [name]: !this.viewer.state[name] });
  }

  toggleFullScreen(document) {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element("main").requestFullscreen();
  }

  /** Focus, and open the aperture where it is closed: else nothing would change. */
  focusOn(focus) {
    const { state, header } = this.viewer;
    const half = (Math.max(header.n_v, header.n_u) - 1) / 4;
    this.viewer.set({ focus, aperture: state.aperture || half });
  }

  onDown(event) {
    if (!this.viewer.scene || event.button !== 0) return;
    event.target.setPointerCapture(event.pointerId);
    this.stage.focus({ preventScroll: true });
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    const { v, u } = this.viewer.state;
    const isClick = this.pointers.size === 1;
    this.drag = { x: event.clientX, y: event.clientY, v, u, isClick };
  }

  onMove(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const before = [...this.pointers.values()];
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.pointers.size === 2) {
      this.pinch(before, [...this.pointers.values()]);
      this.drag.isClick = false;
    } else if (this.pointers.size === 1) {
      const dx = event.clientX - this.drag.x;
      const dy = event.clientY - this.drag.y;
      if (Math.hypot(dx, dy) > CLICK_PIXELS) this.drag.isClick = false;
      if (this.drag.isClick) return;
      if (event.shiftKey) this.panBy(event.clientX - before[0][0], event.clientY - before[0][1]);
      else this.dragBy(dx, dy);
    }
  }

  onUp(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.drag.isClick && this.pointers.size === 0) {
      this.pickFocus(event.clientX, event.clientY);
    } else if (this.pointers.size === 1) {
      // The finger that stays goes on from where it is.
      const [[x, y]] = this.pointers.values();
      const { v, u } = this.viewer.state;
      this.drag = { x, y, v, u, isClick: false };
    }
  }

  /** The width of the picture is as far as all columns of views: the eye follows the pointer. */
  dragBy(dx, dy) {
    const { header } = this.viewer;
    const v = this.drag.v + (dy / this.size.height) * (header.n_v - 1);
    const u = this.drag.u + (dx / this.size.width) * (header.n_u - 1);
    this.viewer.set({ v, u, turning: false });
  }

  pickFocus(clientX, clientY) {
    const { viewer } = this;
    const box = viewer.canvas.getBoundingClientRect();
    const { width, height } = viewer.renderer;
    const x = Math.floor(((clientX - box.left) / box.width) * width);
    const y = Math.floor(((clientY - box.top) / box.height) * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const disparity = viewer.disparityAt(y, x);
    if (disparity !== null && viewer.header.n_v * viewer.header.n_u > 1) this.focusOn(disparity);
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.viewer.scene) return;
    const step = event.shiftKey ? 0.25 : 1;
    const slide = (id, n) => {
      const slider = this.element(id);
      if (n > 0) slider.stepUp(n);
      else slider.stepDown(-n);
      slider.dispatchEvent(new Event("input"));
    };
    const actions = {
      ArrowUp: () => this.viewer.step(-step, 0),
      ArrowDown: () => this.viewer.step(step, 0),
      ArrowLeft: () => this.viewer.step(0, -step),
      ArrowRight: () => this.viewer.step(0, step),
      "+": () => this.zoomBy(1.5),
      "=": () => this.zoomBy(1.5),
      "-": () => this.zoomBy(1 / 1.5),
      0: () => this.resetZoom(),
      " ": () => this.element("turn").click(),
      d: () => this.element("overlay").click(),
      f: () => this.element("full").click(),
      "[": () => slide("focus", -10),
      "]": () => slide("focus", 10),
      ",": () => slide("aperture", -1),
      ".": () => slide("aperture", 1),
    };
    const act = actions[event.key];
    if (!act) return;
    event.preventDefault();
    if (event.key.startsWith("Arrow")) this.viewer.state.turning = false;
    act();
  }

  /** Zoom about a point of the window, by default the middle of the picture. */
  zoomBy(factor, clientX, clientY) {
    const box = this.stage.getBoundingClientRect();
    const x = (clientX ?? box.left + box.width / 2) - box.left;
    const y = (clientY ?? box.top + box.height / 2) - box.top;
    const scale = Math.max(1, Math.min(MAX_ZOOM, this.zoom.scale * factor));
    const ratio = scale / this.zoom.scale;
    this.zoom = { scale, x: x - (x - this.zoom.x) * ratio, y: y - (y - this.zoom.y) * ratio };
    this.place();
  }

  panBy(dx, dy) {
    this.zoom.x += dx;
    this.zoom.y += dy;
    this.place();
  }

  pinch(before, after) {
    const middle = (points) => [0, 1].map((i) => (points[0][i] + points[1][i]) / 2);
    const reach = (points) => Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]);
    const [x0, y0] = middle(before);
    const [x1, y1] = middle(after);
    this.panBy(x1 - x0, y1 - y0);
    this.zoomBy(reach(after) / Math.max(reach(before), 1), x1, y1);
  }

  resetZoom() {
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.place();
  }

  /** Fit the picture into the stage. */
  layOut() {
    const { header, canvas } = this.viewer;
    if (!header || !canvas) return;
    const { clientWidth, clientHeight } = this.stage;
    const fit = Math.min(clientWidth / header.width, clientHeight / header.height);
    this.size = { width: header.width * fit, height: header.height * fit };
    canvas.style.width = `${this.size.width}px`;
    canvas.style.height = `${this.size.height}px`;
    this.place();
  }

  /** Move the picture to where zoom and stage want it; never out of sight. */
  place() {
    const { canvas } = this.viewer;
    if (!canvas || !this.size) return;
    const { clientWidth, clientHeight } = this.stage;
    const inside = (at, room, length) =>
      length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, at));
    const { scale } = this.zoom;
    this.zoom.x = inside(this.zoom.x, clientWidth, this.size.width * scale);
    this.zoom.y = inside(this.zoom.y, clientHeight, this.size.height * scale);
    canvas.style.transform = `translate(${this.zoom.x}px, ${this.zoom.y}px) scale(${scale})`;
    canvas.classList.toggle("sharp", scale >= SHARP_ZOOM);
  }

  /** Tell the state now or soon, and not more often than one can read. */
  tellSoon() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.tellState();
    }, TELL_MS);
  }

  /** Write the state into the panel and into what screen readers say. */
  tellState() {
    const { state } = this.viewer;
    const text = (id, value) => (this.element(id).textContent = value);
    this.element("row").value = state.v;
    this.element("column").value = state.u;
    this.element("focus").value = state.focus;
    this.element("aperture").value = state.aperture;
    // In the file the nearest has the smallest disparity; people count the other way.
    const disparity = (-state.focus / 512).toFixed(2).replace(/^-(?=0\.00$)/, "");
    text("row-value", state.v.toFixed(2));
    text("column-value", state.u.toFixed(2));
    text("focus-value", `${disparity} px per view`);
    text("aperture-value", `${state.aperture.toFixed(1)} views`);
    this.element("turn").setAttribute("aria-pressed", state.turning);
    this.element("overlay").setAttribute("aria-pressed", state.overlay);
    const place = `View at row ${state.v.toFixed(2)}, column ${state.u.toFixed(2)}`;
    const depth = state.aperture > 0 ? `, focus at ${disparity} pixels per view` : "";
    this.stage.setAttribute("aria-label", place + depth);
  }
}

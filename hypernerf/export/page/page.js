
// What people see and touch: a slider over the scenes, and a plan of what to draw when. While something moves, a picture is
// drawn as coarse as this device needs to keep up; once nothing moves, sharper and sharper ones follow, strip by strip, each
// shown when it is done. After the last nothing is scheduled any more.

const MOVING = { samples: 24, pixels: 1500 }; // points a ray, pixels at least
const RESTING = { samples: 64, pixels: 1 << 22, milliseconds: 4000 }; // pixels at most, and how long a picture may take

const $ = (id) => document.getElementById(id);
const read = (id) => JSON.parse($(id).textContent);
const mix = (a, b, share) => a + (b - a) * share;

const canvas = $("view"), slider = $("scene");
const scenes = read("scenes").map((scene) => ({ ...scene, weights: decode(scene.weights) }));
const orbit = new Orbit();
const alike = scenes.every((scene) => JSON.stringify(scene.constants) === JSON.stringify(scenes[0].constants));

// The scene at a place of the slider. Between two scenes all numbers are mixed: both are written by the same hypernetwork.
function sceneAt(place) {
  const low = Math.floor(clamp(place, 0, scenes.length - 1)), share = place - low;
  const a = scenes[low], b = scenes[low + 1];
  if (!share) return a;
  return {
    ...(share < 0.5 ? a : b),
    name: `${a.name} ${Math.round(100 * (1 - share))} % · ${b.name} ${Math.round(100 * share)} %`,
    background: a.background.map((x, i) => mix(x, b.background[i], share)),
    distance: mix(a.distance, b.distance, share),
    fieldOfView: mix(a.fieldOfView, b.fieldOfView, share),
    weights: a.weights.map((x, i) => mix(x, b.weights[i], share)),
  };
}

// --- what is drawn when ------------------------------------------------------------------------------------------------

let renderer, scene, loaded, dark;
let plan = null; // the picture being drawn: { samples, camera, row: the first not drawn yet, start }; null when all is done
let moving = false; // since the last picture was begun
let scheduled = false;
let fence = null; // behind the last strip: { sync, start }
let batch = 1 << 16; // points that are drawn at once: as many as take this device about two frames

function change() {
  moving = true;
  schedule();
}

function schedule() {
  if (!scheduled) requestAnimationFrame(step);
  scheduled = true;
}

function step() {
  scheduled = false;
  if (!passed()) return schedule();
  if (moving) begin(MOVING.samples, Math.max(batch / MOVING.samples, MOVING.pixels));
  moving = false;
  strip();
  if (plan.row === plan.camera.height) {
    renderer.show();
    sharpen();
  }
  if (plan) schedule();
}

function begin(samples, pixels) {
  const { width, height } = canvas, share = Math.min(1, Math.sqrt(pixels / (width * height)));
  const camera = orbit.camera(scene, Math.max(1, Math.round(width * share)), Math.max(1, Math.round(height * share)));
  plan = { samples, camera, row: 0, start: performance.now() };
}

// After a picture comes a sharper one, until no more pixels are there or worth the wait.
function sharpen() {
  const { samples, camera, start } = plan, before = camera.width * camera.height;
  const most = Math.min(canvas.width * canvas.height, RESTING.pixels);
  if (samples < RESTING.samples) return begin(RESTING.samples, Math.min(before, most));
  const next = Math.min(4 * before, most, (before * RESTING.milliseconds) / (performance.now() - start));
  if (next > 1.05 * before) begin(samples, next);
  else plan = null;
}

// A moving picture is drawn at once; of a sharp one as many rows as let this device answer quickly.
function strip() {
  const { gl } = renderer, { samples, camera, row } = plan;
  const rows = Math.ceil(batch / samples / camera.width);
  plan.row = samples === MOVING.samples ? camera.height : Math.min(row + rows, camera.height);
  if (loaded !== scene) renderer.load(scene);
  loaded = scene;
  renderer.draw(camera, samples, background(), row, plan.row);
  fence = { sync: gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0), start: performance.now() };
  gl.flush();
}

// Whether the GPU is done with the last strip
function passed() {
  if (!fence) return true;
  const { gl } = renderer;
  if (gl.getSyncParameter(fence.sync, gl.SYNC_STATUS) !== gl.SIGNALED) return false;
  gl.deleteSync(fence.sync);
  const milliseconds = performance.now() - fence.start;
  if (milliseconds < 25) batch = Math.min(2 * batch, 1 << 27);
  if (milliseconds > 60) batch = Math.max(batch / 2, 1 << 15);
  fence = null;
  return true;
}

function resize() {
  const ratio = Math.min(devicePixelRatio, 2);
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  change();
}

function choose(place) {
  scene = sceneAt(place);
  $("name").textContent = scene.name;
  paint();
}

// --- light and dark: the scene's own background, or one of the opposite kind ------------------------------------------

const isDark = (color) => dot(color, [0.3, 0.6, 0.1]) < 0.5;

function background() {
  if (isDark(scene.background) === dark) return scene.background;
  return dark ? [0.09, 0.095, 0.11] : [1, 1, 1];
}

function paint() {
  document.documentElement.classList.toggle("dark", dark);
  document.documentElement.style.setProperty("--paper", `rgb(${background().map((x) => Math.round(255 * x)).join(" ")})`);
  change();
}

// --- touch -------------------------------------------------------------------------------------------------------------

const fingers = new Map(); // pointers that are down

function moved(event) {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const now = { x: event.clientX, y: event.clientY };
  const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, finger]) => finger);
  const scale = 5 / Math.min(canvas.clientWidth, canvas.clientHeight); // five radians across the picture
  if (others.length) {
    const apart = (finger) => Math.hypot(finger.x - others[0].x, finger.y - others[0].y);
    orbit.zoom(apart(now) / Math.max(apart(before), 1));
  } else {
    orbit.turn(scale * (before.x - now.x), scale * (now.y - before.y));
  }
  fingers.set(event.pointerId, now);
  change();
}

const KEYS = {
  ArrowLeft: () => orbit.turn(0.1, 0), ArrowRight: () => orbit.turn(-0.1, 0),
  ArrowUp: () => orbit.turn(0, -0.1), ArrowDown: () => orbit.turn(0, 0.1),
  "+": () => orbit.zoom(1.1), "=": () => orbit.zoom(1.1), "-": () => orbit.zoom(1 / 1.1),
};

function listen() {
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", moved);
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    orbit.zoom(Math.exp(-0.0015 * event.deltaY));
    change();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => {
    orbit.reset();
    change();
  });
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    KEYS[event.key]();
    change();
  });
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => location.reload());
  slider.addEventListener("input", () => choose(slider.valueAsNumber));
  $("theme").addEventListener("click", () => {
    dark = !dark;
    paint();
  });
  new ResizeObserver(resize).observe(canvas);
}

// --- start -------------------------------------------------------------------------------------------------------------

function start() {
  document.querySelector("h1").textContent = document.title;
  slider.max = scenes.length - 1;
  slider.step = alike ? 0.01 : 1;
  slider.hidden = scenes.length < 2;
  dark = matchMedia("(prefers-color-scheme: dark)").matches;
  renderer = new Renderer(canvas, read("shaders"));
  choose(0);
  listen();
}

addEventListener("error", ({ error, message }) => {
  $("trouble").textContent = error?.message ?? message;
  $("trouble").hidden = false;
});
start();

// For programs: a picture from an exact camera (scene-sphere coordinates), and whether anything is still to be drawn.
window.hypernerf = {
  // { place: on the slider, camera: as Renderer.draw takes it, samples } -> RGB bytes from the upper left corner on
  render({ place = 0, camera, samples = RESTING.samples }) {
    const chosen = sceneAt(place);
    renderer.load(chosen);
    renderer.draw(camera, samples, chosen.background);
    const pixels = renderer.read();
    loaded = null;
    change();
    return pixels;
  },
  get idle() {
    return !scheduled;
  },
  get draws() {
    return renderer.draws;
  },
};

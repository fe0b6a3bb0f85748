// The page: draws the scene from above, sends what is typed or spoken, shows the reply and the objects it speaks of.
import { Recorder } from "./recorder.js";

const $ = (id) => document.getElementById(id);
const COLORS = { car: "#6fb1ff", truck: "#b58cff", bus: "#ffd166", trailer: "#b58cff", construction_vehicle: "#ffd166",
  pedestrian: "#ff8fab", motorcycle: "#7ce0c3", bicycle: "#7ce0c3", traffic_cone: "#ff9f5a", barrier: "#a0aab2" };
let marked = new Set();
let recorder = null;

function draw(state) {
  const canvas = $("scene"), box = canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
  canvas.width = box.width * ratio; canvas.height = box.height * ratio;
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  const scale = Math.min(box.width / 60, box.height / 110);  // 80 m ahead, 30 m behind
  const px = (y) => box.width / 2 - y * scale, py = (x) => box.height * 80 / 110 - x * scale;
  c.font = "12px system-ui"; c.textAlign = "left";
  for (const r of [20, 40, 60]) {
    c.strokeStyle = "#222c34"; c.beginPath(); c.arc(px(0), py(0), r * scale, 0, 7); c.stroke();
    c.fillStyle = "#5d6a75"; c.fillText(`${r} m`, px(0) + 4, py(r) - 4);
  }
  c.globalAlpha = state.doubt === "stale" || state.doubt === "no_scene" ? 0.35 : 1;
  c.fillStyle = "#e4eaee"; c.fillRect(px(0.95), py(3.7), 1.9 * scale, 4.7 * scale);
  for (const t of state.tracks) {
    c.save(); c.translate(px(t.y), py(t.x)); c.rotate(-t.yaw);
    const long = Math.max(t.length, 0.6) * scale, wide = Math.max(t.width, 0.6) * scale;
    c.fillStyle = COLORS[t.kind] || "#ccc"; c.globalAlpha *= 0.35 + 0.65 * t.sure;
    c.fillRect(-wide / 2, -long / 2, wide, long);
    c.restore();
    if (!marked.has(t.id)) continue;
    c.strokeStyle = "#ffb84d"; c.lineWidth = 2;
    c.beginPath(); c.arc(px(t.y), py(t.x), Math.max(t.length, 2) * scale * 0.7 + 6, 0, 7); c.stroke(); c.lineWidth = 1;
    c.fillStyle = "#ffb84d"; c.textAlign = "center";
    c.fillText(t.kind.replace("_", " "), px(t.y), py(t.x) - Math.max(t.length, 2) * scale * 0.7 - 12);
  }
}

function describe(state) {
  const why = { "": "", no_scene: "nothing is seen yet", stale: "too old to rely on" }[state.doubt] ?? state.doubt;
  $("age").textContent = [state.tracks.length === 1 ? "1 object" : `${state.tracks.length} objects`, state.age_s === null ? "" : `${state.age_s.toFixed(1)} s old`, why]
    .filter(Boolean).join(" · ");
  $("age").className = state.doubt ? "doubt" : "";
  $("alert").hidden = !state.alert;
  if (state.alert) {
    $("alert").textContent = `${state.alert.english} ${state.alert.chinese}`;
    $("alert").className = state.alert.level === 2 ? "urgent" : "";
  }
  $("mic").disabled = !state.listens;
  if (!state.listens) $("mic").title = "No speech recognition is set up here";
}

async function look() {
  try {
    const state = await (await fetch("state")).json();
    draw(state); describe(state);
  } catch { $("age").textContent = "the service does not answer"; $("age").className = "doubt"; }
  setTimeout(look, 200);
}

function line(kind, text, small) {
  const item = document.createElement("li");
  item.className = kind; item.textContent = text;
  if (small) { const more = document.createElement("small"); more.textContent = small; item.append(more); }
  $("said").append(item); item.scrollIntoView({ block: "end" });
}

async function send(type, body, typed) {
  if (typed) line("you", typed);
  const answer = await fetch("say", { method: "POST", headers: { "Content-Type": type }, body });
  const found = await answer.json();
  if (!answer.ok) { $("note").textContent = found.error; return; }
  if (!found.text) { $("note").textContent = "I heard nothing."; return; }
  $("note").textContent = "";
  if (!typed) line("you", found.text);
  marked = new Set(found.tracks);
  const meant = found.frames.map((f) => [f.intent, ...Object.values(f.slots)].join(" ")).join(", ");
  line(found.waits ? "car waits" : "car", found.reply, meant);
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  if (text) send("application/json", JSON.stringify({ text }), text);
});

$("mic").addEventListener("click", async () => {
  try {
    if (recorder) {
      const wav = await recorder.stop();
      recorder = null; $("mic").setAttribute("aria-pressed", "false"); $("note").textContent = "…";
      await send("audio/wav", wav);
      return;
    }
    recorder = await Recorder.start();
    $("mic").setAttribute("aria-pressed", "true"); $("note").textContent = "Listening; press again when done.";
  } catch (error) { recorder = null; $("note").textContent = `No microphone: ${error.message}`; }
});

look();

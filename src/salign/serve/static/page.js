// One page: an image goes to /api/predict, and what comes back is shown. Texts are set as text, never as HTML.
const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;
let count = 0;

function say(fault, status = "") {
  at("fault").textContent = fault;
  at("fault").hidden = !fault;
  at("status").textContent = status;
}

async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const content = await reply.json().catch(() => ({ error: `The server replied ${reply.status}.` }));
  if (!reply.ok) throw new Error(content.error);
  return content;
}

async function send(files) {
  if (!files.length) return;
  const form = new FormData();
  for (const file of files) form.append("image", file, file.name || "pasted image");
  say("", "Waiting for the answer …");
  try {
    const { predictions } = await ask("/api/predict?pictures=true", { method: "POST", body: form });
    at("results").prepend(...predictions.map(article));
    say("", `${predictions.length === 1 ? "1 image" : `${predictions.length} images`} answered.`);
  } catch (error) {
    say(error.message);
  }
}

function article(prediction) {
  const node = at("result").content.cloneNode(true), image = node.querySelector("img"), name = `show-${count++}`;
  const show = (which) => {
    image.src = prediction[which];
    image.alt = which === "overlay" ? `${prediction.name}, with the evidence laid over` : prediction.name;
  };
  show(prediction.overlay ? "overlay" : "picture");
  node.querySelector("fieldset").hidden = !prediction.overlay;
  for (const choice of node.querySelectorAll("input")) {
    choice.name = name;
    choice.addEventListener("change", () => show(choice.value));
  }
  node.querySelector("h2").textContent = `${prediction.name}: ${prediction.predicted || "none of the classes"}`;
  const called = prediction.predicted_at_threshold;
  node.querySelector(".called").textContent = called === null ? "" : `At the threshold it is called ${called}.`;
  const answers = prediction.predicted.split(";");
  const rows = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  for (const [label, probability] of rows) {
    const row = node.querySelector("tbody").insertRow(), head = document.createElement("th"), meter = document.createElement("meter");
    head.scope = "row";
    head.textContent = label;
    meter.value = probability;
    meter.setAttribute("aria-label", `${label}: ${percent(probability)}`);
    row.className = answers.includes(label) ? "predicted" : "";
    row.append(head);
    row.insertCell().append(meter);
    row.insertCell().textContent = percent(probability);
  }
  node.querySelector(".where").textContent =
    prediction.map?.words ?? (prediction.overlay ? "The map is the same everywhere." : "This model gives no map.");
  return node;
}

function describe(model) {
  document.title = `${model.run} – salign serve`;
  at("about").textContent = `${model.run} tells ${model.classes.join(", ")} apart.${model.called ? ` An image is ${model.called}.` : ""}`;
  const { images, pixels, body } = model.limits;
  at("limits").textContent = `At most ${images} images at a time, ${body / 1e6} MB together, ${pixels / 1e6} million pixels each.`;
  const sentences = model.reliance.length
    ? [...model.reliance, "A model that uses the region changes its answers in the first case, and keeps them in the second."]
    : ["Whether the model relies on the place that a map shows was not measured. The map shows where its evidence was added up, not what it would answer without that place; salign analyse measures it on images with human maps."];
  at("reliance").replaceChildren(...sentences.map((sentence) => {
    const line = document.createElement("p");
    line.textContent = sentence;
    return line;
  }));
  at("model").textContent = `${model.backbone}, ${model.precision}, images of ${model.image_size[1]} × ${model.image_size[0]} pixels. Weights ${model.weights_sha256.slice(0, 12)}. ${model.licence_of_starting_weights ?? "The licence of the starting weights is not known."}`;
}

const drop = at("drop");
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("drop", (event) => send([...event.dataTransfer.files]));
document.addEventListener("paste", (event) => send([...event.clipboardData.files]));
at("file").addEventListener("change", (event) => {
  send([...event.target.files]);
  event.target.value = "";
});
ask("/api/model").then(describe, (error) => say(error.message));

// The live tail: asks every two seconds for the requests that ended since, while the page is seen.
const line = document.querySelector("[data-tail]");
const rows = document.querySelector("[data-rows]");
const said = line.querySelector("[data-said]");
const pause = line.querySelector("[data-pause]");
const EVERY_MS = 2000;
const MOST = 200;
let last = Number(line.dataset.last);
let isPaused = false;

function say(text) {
  if (said.textContent !== text) said.textContent = text;
}

async function ask() {
  const url = new URL(line.dataset.tail, location.href);
  url.pathname += "/tail";
  url.searchParams.set("after", String(last));
  const answer = await fetch(url, { redirect: "manual" });
  if (answer.type === "opaqueredirect") {
    location.reload(); // signed out
    return;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const found = await answer.json();
  if (found.last < last) location.reload(); // the server was started again
  last = found.last;
  if (!found.rows.trim()) return;
  rows.insertAdjacentHTML("afterbegin", found.rows); // made and escaped by the server
  document.querySelector("[data-none]")?.remove();
  while (rows.rows.length > MOST) rows.rows[rows.rows.length - 1].remove();
}

async function loop() {
  if (!isPaused && !document.hidden) {
    try {
      await ask();
      say("Live, newest first.");
    } catch {
      say("The server does not answer; trying again.");
    }
  }
  setTimeout(loop, EVERY_MS);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.textContent = isPaused ? "Go on" : "Pause";
  if (isPaused) say("Paused.");
});
loop();

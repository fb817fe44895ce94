// What pages gain from scripts: the theme's switch, copying, confirmation by typing, times that go on, values that stay true.
// Every page can be read, and every action be done, without it.
"use strict";

const every = (selector, root = document) => [...root.querySelectorAll(selector)];

// ----- theme -----

const THEMES = ["system", "light", "dark"];

function themeSwitch(button) {
  const root = document.documentElement;
  const show = () => {
    button.querySelector("[data-theme-name]").textContent = root.dataset.theme ?? "system";
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("ksnode-theme", next);
    } catch {
      // It holds for this page then.
    }
    show();
    document.dispatchEvent(new Event("themechange"));
  });
  show();
}

// ----- times: "3 hours ago" -----

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

function ago(seconds) {
  const past = seconds >= 0;
  const size = Math.abs(seconds);
  for (const [name, length] of UNITS) {
    if (size >= length) {
      const count = Math.floor(size / length);
      const words = `${count} ${name}${count === 1 ? "" : "s"}`;
      return past ? `${words} ago` : `in ${words}`;
    }
  }
  return past ? "just now" : "in a moment";
}

// The node's clock counts, not the browser's: the page says what time it was when it was made.
let clockError = 0;

function tellTimes(root) {
  for (const element of every("[data-ago]", root)) {
    const seconds = (Date.now() - clockError - Date.parse(element.dataset.ago)) / 1000;
    element.textContent = ago(seconds);
  }
}

// ----- copying -----

function copying(root) {
  if (!navigator.clipboard) return;
  for (const button of every("[data-copy]", root)) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      const use = button.querySelector("use");
      const before = use.getAttribute("href");
      use.setAttribute("href", before.replace("#copy", "#check"));
      setTimeout(() => use.setAttribute("href", before), 1500);
    });
  }
}

// ----- confirmation by typing -----

function confirming(root) {
  for (const input of every("[data-must-be]", root)) {
    const button = input.form.querySelector("button");
    const check = () => {
      button.disabled = input.value.trim() !== input.dataset.mustBe;
    };
    input.addEventListener("input", check);
    check();
  }
}

// A form is sent once.
function sending(event) {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
}

// ----- values that stay true -----
// The page's own JSON holds the page as it is now; the parts of it whose ids begin with "live-" take the place of those
// that are shown. What has not changed, or is being used, stays.

const parts = (root) => every("[id^='live-']", root);
const lastSeen = new Map();

function remember(root) {
  for (const part of parts(root)) lastSeen.set(part.id, part.outerHTML);
}

function replace(fresh) {
  for (const part of parts(fresh)) {
    const shown = document.getElementById(part.id);
    const html = part.outerHTML;
    if (!shown || lastSeen.get(part.id) === html || shown.contains(document.activeElement)) continue;
    lastSeen.set(part.id, html);
    const open = every("details", shown).map((details) => details.open);
    every("details", part).forEach((details, index) => (details.open = open[index] ?? false));
    shown.replaceWith(part);
    enhance(part);
  }
}

async function refresh(live) {
  const path = location.pathname.replace(/\/$/, "");
  const answer = await fetch(`${path === "/admin" ? "/admin/overview" : path}.json${location.search}`, { cache: "no-store" });
  if (answer.status === 401 || answer.status === 404) return location.reload();
  if (!answer.ok) return;
  const { page, now } = await answer.json();
  const fresh = new DOMParser().parseFromString(page, "text/html");
  clockError = Date.now() - Date.parse(now);
  replace(fresh);
  if (!fresh.querySelector("[data-live]")) live.removeAttribute("data-live");
}

function follow(live) {
  const pause = Number(live.dataset.live) * 1000;
  const again = async () => {
    // A node that restarts is asked again until it is back.
    if (!document.hidden) await refresh(live).catch(() => {});
    if (live.hasAttribute("data-live")) setTimeout(again, pause);
  };
  setTimeout(again, pause);
}

function enhance(root) {
  tellTimes(root);
  copying(root);
  confirming(root);
  root.dispatchEvent(new Event("enhance", { bubbles: true }));
}

remember(document);
every("[data-theme-switch]").forEach(themeSwitch);
copying(document);
confirming(document);
document.addEventListener("submit", sending);
// A page that comes back from the browser's memory may be sent from again.
addEventListener("pageshow", () => every("form").forEach((form) => delete form.dataset.sent));
setInterval(() => tellTimes(document), 15000);
every("[data-live]").forEach(follow);

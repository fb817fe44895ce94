// Runs before anything is drawn, so that a page never flashes in the other theme.
(() => {
  try {
    const theme = localStorage.getItem("ksnode-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage the system's theme holds.
  }
})();

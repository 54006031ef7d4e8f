// What a panel needs in the page and widgets do not give: see PanelScript.
const box = (part) => part?.closest(".itl-controls");
const pause = () => new Promise((resolve) => setTimeout(resolve, 10));
const plain = (text) => text.replaceAll("\xa0", " ");  // lists write spaces so

function nameSliders() {
  for (const slider of document.querySelectorAll(".itl-controls [role=slider]")) {
    const row = slider.closest(".widget-inline-hbox");
    slider.setAttribute("aria-label", row.querySelector(".widget-label").textContent);
    slider.setAttribute("aria-valuetext", row.querySelector(".widget-readout").textContent);
  }
}

function makeButtons() {
  for (const text of document.querySelectorAll(".itl-controls span[data-setting]")) {
    const button = document.createElement("button");
    for (const { name, value } of text.attributes) button.setAttribute(name, value);
    button.type = "button";
    button.ariaLabel = text.title || text.textContent;
    button.append(...text.childNodes);
    text.replaceWith(button);
  }
}

export default {
  render({ model, el }) {
    const own = (part) => part && box(part) === box(el);
    // A widget keeps a second change back until the kernel has taken the first one, and the kernel takes messages of
    // several widgets in several threads. So what is clicked or chosen waits until every change before it is taken,
    // and until the kernel has done what was clicked before.
    const changesTaken = async () => {
      const watched = model.get("watched").map((id) => model.widget_manager?.get_model(id));
      const models = await Promise.allSettled(watched);  // one may be closed
      while (models.some(({ value }) => value?._pending_msgs > 0 || value?._msg_buffer)) await pause();
    };
    let last = Promise.resolve();
    let done = null;
    const inTurn = (message) => {
      last = last.then(changesTaken).then(() => new Promise((resolve) => {
        done = resolve;
        model.send(message);
      }));
    };
    model.on("msg:custom", () => done?.());
    model.send({ kind: "shown" });  // JupyterLab lets the first message wait for cells that run, and no later one
    const keep = ({ target }) => {
      if (box(target)) target.setAttribute("data-lm-suppress-shortcuts", "true");
    };
    const click = (event) => {
      const button = event.target.closest("button");
      if (!own(button)) return;
      const { setting, value } = button.dataset;
      inTurn(setting ? { kind: "setting", setting, value } : { kind: "press", button: button.textContent });
      if (!setting) event.stopImmediatePropagation();  // else the widget would send it at once
      if (button.matches(".itl-row")) box(el).scrollIntoView();  // what it shows is at the top
    };
    const choose = (event) => {
      const list = event.target.closest("select:not([multiple])");
      if (!own(list)) return;
      event.stopImmediatePropagation();
      const text = plain(list.selectedOptions[0].textContent);
      inTurn({ kind: "choice", control: list.labels[0].textContent, index: list.selectedIndex, text });
    };
    const observer = new MutationObserver(() => {
      nameSliders();
      makeButtons();
    });
    document.addEventListener("focusin", keep);
    document.addEventListener("click", click, true);
    document.addEventListener("change", choose, true);
    observer.observe(document.body, { childList: true, subtree: true });
    setTimeout(() => {  // by then it has its place in the page
      if (box(box(el)?.parentElement)) box(el).scrollIntoView();
    });
    return () => {
      document.removeEventListener("focusin", keep);
      document.removeEventListener("click", click, true);
      document.removeEventListener("change", choose, true);
      observer.disconnect();
    };
  },
};

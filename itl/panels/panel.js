// What a panel needs in the page and widgets do not give: see PanelScript.
const box = (part) => part?.closest(".itl-controls");
const pause = () => new Promise((resolve) => setTimeout(resolve, 10));
const plain = (text) => text.replaceAll("\xa0", " ");  // lists write spaces so
const label = (control) => control.labels?.[0]?.textContent;

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

// What is typed into text fields. A value that comes from the kernel meanwhile does not take its place.
class Drafts {
  constructor() {
    this.drafts = new Map();  // by field: its text, where the caret is in it, and whether it is sent
    // After the widget has shown the value of the kernel, and before the next key is typed into it.
    this.restore = () => Promise.resolve().then(() => {
      for (const [field, { text, caret }] of this.drafts) {
        if (field.value === text) continue;
        field.value = text;
        if (caret !== null) field.setSelectionRange(caret, caret);
      }
    });
  }

  keep(field) {
    this.drafts.set(field, { text: field.value, caret: field.selectionStart, sent: false });
  }

  // Call *send*, which returns a promise, with what is not sent yet; then the field shows the *model* again.
  finish(field, model, send) {
    const draft = this.drafts.get(field);
    if (!draft || draft.sent) return;
    draft.sent = true;
    send(draft.text).then(() => {
      if (this.drafts.get(field) !== draft) return;
      this.drafts.delete(field);
      field.value = model.get("value");
    });
  }
}

export default {
  render({ model, el }) {
    const own = (part) => part && box(part) === box(el);
    const drafts = new Drafts();
    const watched = Promise.allSettled(model.get("watched").map((id) => model.widget_manager?.get_model(id)));
    let models = [];  // of those that are not closed
    watched.then((settled) => {
      models = settled.map(({ value }) => value).filter((value) => value);
      for (const one of models) one.on("change", drafts.restore);
    });
    // The model of a text field that is sent whole, when one leaves it.
    const fieldModel = (field) => own(field) && models.find((one) =>
      one.get("continuous_update") === false && one.get("description") === label(field));
    // A widget keeps a second change back until the kernel has taken the first one, and the kernel takes messages of
    // several widgets in several threads. So what is clicked, chosen or typed waits until every change before it is
    // taken, and until the kernel has done what came before.
    const changesTaken = async () => {
      await watched;
      while (models.some((one) => one._pending_msgs > 0 || one._msg_buffer)) await pause();
    };
    let last = Promise.resolve();
    let done = null;
    const inTurn = (message) => {
      if (models.some((one) => one.comm_live === false)) {
        el.role = "alert";
        el.textContent = "The kernel was restarted or has ended, so that nothing is done: run this cell again.";
        return Promise.resolve();
      }
      last = last.then(changesTaken).then(() => new Promise((resolve) => {
        done = resolve;
        model.send(message);
      }));
      return last;
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
      button.ariaBusy = "true";  // to open a net, or to measure, takes seconds
      inTurn(setting ? { kind: "setting", setting, value } : { kind: "press", button: button.textContent })
        .then(() => (button.ariaBusy = null));
      if (!setting) event.stopImmediatePropagation();  // else the widget would send it at once
      if (button.matches(".itl-row")) box(el).scrollIntoView();  // what it shows is at the top
    };
    const type = ({ target }) => {
      if (fieldModel(target)) drafts.keep(target);
    };
    const leave = ({ target }) => {
      const typed = fieldModel(target);
      if (typed) drafts.finish(target, typed, (text) => inTurn({ kind: "text", control: label(target), text }));
    };
    const change = (event) => {
      const { target } = event;
      if (!own(target)) return;
      if (target.matches("select")) {
        const chosen = [...target.selectedOptions].map((option) => [option.index, plain(option.textContent)]);
        target.ariaBusy = "true";  // until the kernel has done what came before, such as another cell
        inTurn({ kind: "choice", control: label(target), chosen }).then(() => (target.ariaBusy = null));
      } else if (fieldModel(target)) leave(event);
      else return;
      event.stopImmediatePropagation();  // else the widget would send it at once
    };
    const enter = (event) => {  // saves, as the field's only use is
      if (event.key !== "Enter" || !fieldModel(event.target) || label(event.target) !== "preset name") return;
      leave(event);
      inTurn({ kind: "press", button: "Save preset" });
    };
    const listeners = { focusin: keep, click, input: type, change, focusout: leave, keydown: enter };
    const observer = new MutationObserver(makeButtons);
    for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener, true);
    observer.observe(document.body, { childList: true, subtree: true });
    setTimeout(() => {  // by then it has its place in the page
      if (box(box(el)?.parentElement)) box(el).scrollIntoView();
    });
    return () => {
      for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener, true);
      for (const one of models) one.off("change", drafts.restore);
      observer.disconnect();
    };
  },
};

// The field that finds sensors by a part of their names.

import { plain } from "./text.js";

const MOST = 50; // names in the list

export class Picker {
  constructor(field, list, choose) {
    Object.assign(this, { field, list, choose, names: [], at: -1 });
    field.addEventListener("input", () => this.find());
    field.addEventListener("focus", () => this.find());
    field.addEventListener("blur", () => this.close());
    field.addEventListener("keydown", (event) => this.key(event));
    // A press would take the focus from the field before the click comes.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) {
        this.take(option);
      }
    });
  }

  // Other names: who types sees them at once.
  offer(names) {
    const isOther = JSON.stringify(names) !== JSON.stringify(this.names);
    this.names = names;
    if (isOther && document.activeElement === this.field && this.field.value) {
      this.find();
    }
  }

  find() {
    const part = this.field.value.toLowerCase();
    const found = this.names.filter((name) => name.toLowerCase().includes(part));
    const options = found.slice(0, MOST).map((name, index) => {
      const option = document.createElement("li");
      option.id = `found-${index}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.textContent = plain(name);
      option.name = name;
      return option;
    });
    if (found.length > MOST) {
      const more = document.createElement("li");
      more.setAttribute("role", "presentation");
      more.textContent = `and ${found.length - MOST} more: type a part of the name`;
      options.push(more);
    }
    this.list.replaceChildren(...options);
    this.list.hidden = options.length === 0;
    this.field.setAttribute("aria-expanded", String(!this.list.hidden));
    this.mark(part && found.length > 0 ? 0 : -1);
  }

  close() {
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
    this.at = -1;
  }

  options() {
    return [...this.list.querySelectorAll("[role=option]")];
  }

  mark(at) {
    this.at = at;
    this.field.removeAttribute("aria-activedescendant");
    this.options().forEach((option, index) => {
      option.setAttribute("aria-selected", String(index === at));
      if (index === at) {
        this.field.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      }
    });
  }

  key(event) {
    const count = this.options().length;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && count > 0) {
      event.preventDefault();
      if (this.list.hidden) {
        this.find();
      }
      this.mark((Math.max(this.at + step, step > 0 ? 0 : -1) + count) % count);
    } else if (event.key === "Enter" && this.at >= 0) {
      event.preventDefault();
      this.take(this.options()[this.at]);
    } else if (event.key === "Escape") {
      this.field.value = "";
      this.close();
    }
  }

  take(option) {
    this.field.value = "";
    this.close();
    this.choose(option.name);
  }
}

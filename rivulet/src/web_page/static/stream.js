// The events of the server: what has changed, each second. It connects again by itself.

import { plain } from "./text.js";

const PATIENCE = 5000; // milliseconds without an event until the program is said to be gone
const AGAIN = 2000; // milliseconds until it is asked again after it has said no

export class Stream {
  // `begin` is called before everything comes again, `take` with each event, and `say` with a
  // sentence and since when nothing has come.
  constructor(begin, take, say) {
    Object.assign(this, { begin, take, say, query: "", gone: null, last: Date.now() });
    setInterval(() => this.watch(), 1000);
  }

  open(query) {
    this.query = query;
    clearTimeout(this.timer);
    this.source?.close();
    const source = new EventSource(`events?${query}`);
    this.source = source;
    let isFirst = true;
    source.onopen = () => {
      isFirst = true;
    };
    source.onmessage = (event) => {
      if (isFirst) {
        isFirst = false;
        this.begin();
      }
      this.last = Date.now();
      this.gone = null;
      this.take(JSON.parse(event.data));
      this.say("Live", null);
    };
    source.onerror = () => {
      this.miss("");
      if (source.readyState === EventSource.CLOSED) {
        this.refused();
      }
    };
  }

  // The server has answered with something else. Why is in another answer.
  async refused() {
    this.timer = setTimeout(() => this.open(this.query), AGAIN);
    try {
      const asked = await fetch(`events?${this.query}`, { headers: { Accept: "text/plain" } });
      const isText = asked.headers.get("content-type")?.startsWith("text/plain");
      if (asked.status === 401) {
        this.miss("It asks for another token now: reload this page.");
      } else if (!asked.ok && isText) {
        this.miss(plain((await asked.text()).trim()));
      }
      await asked.body?.cancel();
    } catch {
      // Nobody answers, which is said already.
    }
  }

  watch() {
    if (Date.now() - this.last > PATIENCE) {
      this.miss("");
    }
  }

  miss(why) {
    this.gone ??= new Date();
    const since = this.gone.toLocaleTimeString();
    this.say(why || `No answer since ${since}. This page asks again by itself.`, this.gone);
  }
}

// The points of a list: its times are steps from one to the next, and `null` is a gap.
function points(list) {
  const found = [];
  let time = 0;
  for (let index = 0; index < list.length; index += 1) {
    if (list[index] === null) {
      found.push(null);
    } else {
      time += list[index];
      index += 1;
      found.push([time, list[index]]);
    }
  }
  return found;
}

// What the points are after a change.
export function changed(old, [head, from, keep, tail]) {
  return [...points(head), ...old.slice(from, from + keep), ...points(tail)];
}

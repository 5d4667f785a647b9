// The few things that every part of the page does with the document.

export const $ = (id) => document.getElementById(id);

export const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

/** A message in its place; none hides the place. */
export function say(place, text) {
  place.textContent = text;
  place.hidden = !text;
}

/** What went wrong, in words for customers. */
export function explain(error) {
  if (error.fields?.length) return error.fields.map(({ field, description }) => `${field}: ${description}`).join("; ");
  const words = error.message || "Something went wrong.";
  return words[0].toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}

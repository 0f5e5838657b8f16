/**
 * What a person sets for calls from this browser: who answers and how, which devices, and how turns are taken. Kept in
 * the browser's storage; the dialog shows and changes it.
 *
 * @import { About } from '../call/signalling.js'
 *
 * @typedef {{
 *   agent: string,
 *   voice: string,
 *   instructions: string,
 *   microphone: string,
 *   speaker: string,
 *   push: boolean,
 * }} Settings  Empty: as the server or the browser likes.
 */

import { devices } from '../call/microphone.js';

const STORED = 'parley.settings';

/** @type {Settings} */
const DEFAULTS = { agent: '', voice: '', instructions: '', microphone: '', speaker: '', push: false };

/**
 * What was stored, as far as it is of use. Pure.
 *
 * @param {string | null} text
 * @returns {Settings}
 */
export function read(text) {
  /** @type {Record<string, unknown>} */
  let stored = {};
  try {
    stored = Object(JSON.parse(text ?? '{}'));
  } catch {
    // Written by something else.
  }
  const kept = Object.entries(DEFAULTS).map(([name, value]) => [name, typeof stored[name] === typeof value ? stored[name] : value]);
  return Object.fromEntries(kept);
}

/**
 * What a call is asked for. Pure.
 *
 * @param {Settings} settings
 * @param {About} about
 */
export function wish({ agent, voice, instructions, microphone }, { agents, voices, model }) {
  const changes = {
    ...(instructions && { instructions }),
    audio: {
      input: { transcription: { model } },
      ...(voices.includes(voice) && { output: { voice } }),
    },
  };
  return { microphone, ...(agents.some(({ id }) => id === agent) && { agent }), session: { type: 'realtime', ...changes } };
}

export class SettingsDialog {
  /** @type {Settings} */
  settings = read(localStorage.getItem(STORED));
  #dialog;
  #form;
  #changed;

  /**
   * @param {HTMLDialogElement} dialog  With one form, whose controls are named as the settings.
   * @param {(name: keyof Settings) => void} changed
   */
  constructor(dialog, changed) {
    this.#dialog = dialog;
    this.#form = /** @type {HTMLFormElement} */ (dialog.querySelector('form'));
    this.#changed = changed;
    this.#form.onchange = (event) => this.#take(/** @type {HTMLInputElement} */ (event.target));
    dialog.addEventListener('click', ({ target }) => {
      // Beside the dialog: what is in it lies on its form.
      if (target === dialog) dialog.close();
    });
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.#showDevices());
  }

  open() {
    this.#dialog.showModal();
    void this.#showDevices();
  }

  /**
   * Who and what there is to choose.
   *
   * @param {About} about
   */
  offer({ agents, voices, model }) {
    this.#fill('agent', 'Parley', agents.map(({ id, name }) => ({ id, label: name })));
    this.#fill('voice', 'As the agent speaks', voices.map((voice) => ({ id: voice, label: voice })));
    const name = this.#form.querySelector('#model');
    if (name) name.textContent = model;
    this.#control('instructions').value = this.settings.instructions;
    this.#form.querySelectorAll('[name=push]').forEach((radio) => {
      const input = /** @type {HTMLInputElement} */ (radio);
      input.checked = (input.value === 'true') === this.settings.push;
    });
  }

  async #showDevices() {
    const { microphones, speakers } = await devices();
    this.#fill('microphone', 'Default', microphones);
    this.#fill('speaker', 'Default', speakers);
    const choosable = speakers.length > 0 && 'setSinkId' in HTMLMediaElement.prototype;
    this.#control('speaker').closest('label')?.toggleAttribute('hidden', !choosable);
  }

  /**
   * @param {'agent' | 'voice' | 'microphone' | 'speaker'} name
   * @param {string} first  What choosing nothing is called.
   * @param {{ id: string, label: string }[]} choices
   */
  #fill(name, first, choices) {
    const control = this.#control(name);
    control.replaceChildren(...[{ id: '', label: first }, ...choices].map(({ id, label }) => new Option(label, id)));
    control.value = choices.some(({ id }) => id === this.settings[name]) ? this.settings[name] : '';
  }

  /** @param {HTMLInputElement} control */
  #take({ name, value }) {
    this.settings = read(JSON.stringify({ ...this.settings, [name]: name === 'push' ? value === 'true' : value.trim() }));
    localStorage.setItem(STORED, JSON.stringify(this.settings));
    this.#changed(/** @type {keyof Settings} */ (name));
  }

  /** @param {string} name */
  #control(name) {
    return /** @type {HTMLSelectElement} */ (this.#form.elements.namedItem(name));
  }
}

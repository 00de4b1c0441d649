/** What `embed.js` adds to a page. */

export type ConnectJohnDeereEvent =
  /** The grower can begin. */
  | "ready"
  /** The grower is at John Deere. */
  | "opened"
  /** Data can flow. */
  | "connected"
  /** The grower has something to do; the frame says what. */
  | "needs-action"
  /** It can't go on; `state` says why. */
  | "failed"
  /** The grower came back without a connection, or has ended it. */
  | "closed";

export interface ConnectJohnDeereDetail {
  /** Reference code of the connection; missing if the frame could not find out. */
  connection?: string;
  /** Machine code of the state, as in the API. */
  state: string;
}

export interface ConnectJohnDeereOptions {
  /** The partner's slug. */
  partner: string;
  /** An embed token, made by your backend. */
  token: string;
  /** Default: as the browser prefers. */
  theme?: "light" | "dark";
}

/**
 * Attributes: `partner`, `token`, `theme`, as in the options. With `debug` the console says what keeps
 * the frame from working; on localhost it does so anyway.
 */
export interface ConnectJohnDeereElement extends HTMLElement {
  addEventListener(
    type: ConnectJohnDeereEvent,
    listener: (event: CustomEvent<ConnectJohnDeereDetail>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "connect-john-deere": ConnectJohnDeereElement;
  }
  interface Window {
    /** For pages that can't use custom elements: the events come from `target`. */
    connectJohnDeere(target: HTMLElement, options: ConnectJohnDeereOptions): { close(): void };
  }
}

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

/** What keeps the frame itself from working, each with the event `failed`. */
export type ConnectJohnDeereFrameState =
  /** Not a token for frames, or forged. */
  | "token_invalid"
  /** Its hour is over: give the element another one. */
  | "token_expired"
  /** Of another partner than the element's. */
  | "token_of_another"
  /** The frame has not come within 8 seconds. If it still does, it is shown, and events follow. */
  | "frame_refused";

/** Where a connection stands, as in the API. There may be more one day. */
export type ConnectJohnDeereStatus =
  | "invited"
  | "authorizing"
  | "denied"
  | "took_too_long"
  | "interrupted"
  | "code_refused"
  | "deere_unavailable"
  | "application_refused"
  | "no_refresh_token"
  | "finishing"
  | "choose_organizations"
  | "no_organization_chosen"
  | "wrong_account"
  | "no_organizations"
  | "terms_not_accepted"
  | "permissions_too_low"
  | "organizations_refused"
  | "organizations_unknown"
  | "organizations_unavailable"
  | "choice_unseen"
  | "handing_over"
  | "handing_over_late"
  | "waiting_for_leaf"
  | "waiting_for_staff"
  | "failed"
  | "checking"
  | "connected"
  | "temporarily_unavailable"
  | "unconfirmed"
  | "nothing_fetched"
  | "reconnect"
  | "credential_missing"
  | "missing_permission"
  | "unknown_health"
  | "refused_with_many"
  | "limited_with_many"
  | "disconnecting"
  | "disconnecting_late"
  | "disconnecting_held_up"
  | "disconnected";

export interface ConnectJohnDeereDetail {
  /** Reference code of the connection; missing if the frame could not find out. */
  connection?: string;
  state: ConnectJohnDeereStatus | ConnectJohnDeereFrameState;
}

export interface ConnectJohnDeereOptions {
  /** The partner's slug. */
  partner: string;
  /** An embed token, made by your backend. */
  token: string;
  /** Default: as the browser prefers. */
  theme?: "light" | "dark";
}

/** Of the element in HTML. Without `token`, what stands inside it is shown. */
export interface ConnectJohnDeereAttributes extends Partial<ConnectJohnDeereOptions> {
  /** The console says what keeps the frame from working; on localhost it does so anyway. */
  debug?: boolean | "";
}

export type ConnectJohnDeereEventMap = {
  [name in ConnectJohnDeereEvent]: CustomEvent<ConnectJohnDeereDetail>;
};

export interface ConnectJohnDeereElement extends HTMLElement {
  /** The last event since it has its token, for who comes too late to hear it. */
  readonly told?: CustomEvent<ConnectJohnDeereDetail> | null;
}

// The events bubble: from the element, or from the function's target, up to the window.
declare global {
  interface HTMLElementEventMap extends ConnectJohnDeereEventMap {}
  interface DocumentEventMap extends ConnectJohnDeereEventMap {}
  interface WindowEventMap extends ConnectJohnDeereEventMap {}
  interface HTMLElementTagNameMap {
    "connect-john-deere": ConnectJohnDeereElement;
  }
  /** For pages that can't use custom elements: the events come from `target`. */
  function connectJohnDeere(target: HTMLElement, options: ConnectJohnDeereOptions): { close(): void };
}

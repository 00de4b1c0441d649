// Puts "Connect John Deere" into a partner's page. See docs/partners.md.
(() => {
  const { src, nonce } = document.currentScript;
  const base = new URL(src).origin;
  const NAME = "connect-john-deere";
  if (customElements.get(NAME)) return; // a page may load it twice
  const WAIT = 3000; // before the doctor comes, in milliseconds
  let loaded;

  function mount(host, { partner, token, theme }, slot) {
    const frame = document.createElement("iframe");
    const query = theme ? `?theme=${encodeURIComponent(theme)}` : "";
    frame.dataset.loader = "";
    frame.title = "Connect John Deere";
    frame.allow = "clipboard-write";
    frame.referrerPolicy = "no-referrer";
    frame.style.cssText = "width:100%;height:11rem;border:0";
    frame.src = `${base}/embed/${encodeURIComponent(partner)}${query}#${token}`;
    // Either the frame or what stands inside the element.
    const show = (comes) => {
      frame.style.display = comes ? "block" : "none";
      if (slot) slot.hidden = comes;
    };
    const say = (name, detail) => {
      host.told = new CustomEvent(name, { detail, bubbles: true });
      host.dispatchEvent(host.told);
    };
    const hear = ({ source, origin, data }) => {
      if (source !== frame.contentWindow || origin !== base || data?.from !== NAME) return;
      clearTimeout(timer);
      show(true); // also late
      if (data.type === "size") frame.style.height = `${data.height}px`;
      if (data.type === "event" && data.event !== "working")
        say(data.event, { connection: data.connection, state: data.state });
    };
    // A frame that is loaded again has forgotten its token.
    frame.onload = () => frame.contentWindow?.postMessage({ to: NAME, token }, base);
    addEventListener("message", hear);
    const timer = setTimeout(() => {
      show(false);
      say("failed", { state: "frame_refused" });
    }, 8000);
    host.told = null;
    show(true);
    if (slot) slot.before(frame);
    else host.prepend(frame);
    doctor(host);
    return () => {
      clearTimeout(timer);
      removeEventListener("message", hear);
      frame.remove();
      show(false);
    };
  }

  // While it is built: what is wrong, in the console.
  function doctor(host) {
    if (!/^(localhost|.*\.localhost|127\..*|\[::1\])$/.test(location.hostname) && !host?.hasAttribute("debug")) return;
    setTimeout(() => {
      loaded ||= new Promise((done) => {
        const script = document.createElement("script");
        script.src = `${base}/static/embed-doctor.js`;
        script.nonce = nonce;
        script.onload = done;
        document.head.append(script);
      });
      loaded.then(() => window.connectJohnDeereDoctor(base));
    }, WAIT);
  }

  // Also for a frame that the page has made by itself.
  doctor();

  window.connectJohnDeere = (target, options) => ({ close: mount(target, options) });

  customElements.define(
    NAME,
    class extends HTMLElement {
      static observedAttributes = ["partner", "token", "theme"];
      connectedCallback() {
        if (!this.shadowRoot) this.attachShadow({ mode: "open" }).append(document.createElement("slot"));
        this.style.display ||= "block";
        this.attributeChangedCallback();
      }
      disconnectedCallback() {
        this.close?.();
        this.close = null;
      }
      attributeChangedCallback() {
        const [partner, token, theme] = ["partner", "token", "theme"].map((name) => this.getAttribute(name));
        if (!this.shadowRoot || !this.isConnected) return;
        this.disconnectedCallback();
        const slot = this.shadowRoot.querySelector("slot");
        if (partner && token) this.close = mount(this, { partner, token, theme }, slot);
      }
    },
  );
})();

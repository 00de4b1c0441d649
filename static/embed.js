// Puts "Connect John Deere" into a partner's page. See docs/partners.md.
(() => {
  const { src, nonce } = document.currentScript;
  const base = new URL(src).origin;
  const NAME = "connect-john-deere";
  if (customElements.get(NAME)) return; // a page may load it twice
  const WAIT = 3000; // before the doctor comes, in milliseconds
  let loaded;

  function mount(root, host, { partner, token, theme }) {
    const frame = document.createElement("iframe");
    const query = theme ? `?theme=${encodeURIComponent(theme)}` : "";
    frame.dataset.loader = "";
    frame.title = "Connect John Deere";
    frame.allow = "clipboard-write";
    frame.referrerPolicy = "no-referrer";
    frame.style.cssText = "display:block;width:100%;height:11rem;border:0";
    frame.src = `${base}/embed/${encodeURIComponent(partner)}${query}#${token}`;
    let greeted;
    const say = (name, detail) => host.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
    const hear = ({ source, origin, data }) => {
      if (source !== frame.contentWindow || origin !== base || data?.from !== NAME) return;
      greeted = true;
      if (data.type === "size") frame.style.height = `${data.height}px`;
      if (data.type === "event" && data.event !== "working")
        say(data.event, { connection: data.connection, state: data.state });
    };
    // A frame that is loaded again has forgotten its token.
    frame.onload = () => frame.contentWindow?.postMessage({ to: NAME, token }, base);
    addEventListener("message", hear);
    const timer = setTimeout(() => {
      if (greeted) return;
      frame.hidden = true;
      frame.style.display = "none";
      const slot = root.querySelector?.("slot");
      if (slot) slot.hidden = false;
      say("failed", { state: "frame_refused" });
    }, 8000);
    root.prepend(frame);
    doctor(host);
    return () => {
      clearTimeout(timer);
      removeEventListener("message", hear);
      frame.remove();
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

  window.connectJohnDeere = (target, options) => {
    const close = mount(target, target, options);
    return { close };
  };

  customElements.define(
    NAME,
    class extends HTMLElement {
      static observedAttributes = ["partner", "token", "theme"];
      connectedCallback() {
        // What stands inside the element is shown if the frame does not come.
        if (!this.shadowRoot) {
          const slot = document.createElement("slot");
          slot.hidden = true;
          this.attachShadow({ mode: "open" }).append(slot);
        }
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
        if (partner && token) this.close = mount(this.shadowRoot, this, { partner, token, theme });
      }
    },
  );
})();

// A text, what is set and the model that is shown, in the part of the address that no server is sent.
const through = async (bytes, stream) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

export const packed = async (work) => {
  const bytes = await through(new TextEncoder().encode(JSON.stringify(work)), new CompressionStream("deflate-raw"));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return `#code=${text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
};

/** `{name, text, model, settings}`, or null where the address is cut or is no such link. */
export const unpacked = async (hash) => {
  if (!hash.startsWith("#code=")) return null;
  try {
    const text = atob(hash.slice(6).replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = await through(Uint8Array.from(text, (c) => c.charCodeAt(0)), new DecompressionStream("deflate-raw"));
    const { name, text: written, model, settings } = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof written !== "string") return null;
    return {
      name: /^[\w-]{1,60}$/.test(name) ? name : "network",
      text: written,
      model: typeof model === "string" ? model : null,
      settings: Object.fromEntries(Object.entries(settings ?? {}).map(([key, value]) => [key, String(value)])),
    };
  } catch {
    return null;
  }
};

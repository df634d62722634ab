// Requests to the server; a failure is an Error whose message comes from the server and is meant for users.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answer(response) {
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  throw new ApiError(response.status, body?.detail ?? `The server returned status ${response.status}.`);
}

async function ask(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server can't be reached.");
  }
}

export async function get(path, params = {}, signal = undefined) {
  const query = new URLSearchParams(params).toString();
  return answer(await ask(query ? `${path}?${query}` : path, { signal }));
}

export async function post(path, body, signal = undefined) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
  return answer(await ask(path, options));
}

export async function send(path, form) {
  return answer(await ask(path, { method: "POST", body: form }));
}

// In the query: browsers treat an id of ".." in a path as a folder, however it is encoded.
export const getItem = (id) => get("/api/item", { item_id: id });

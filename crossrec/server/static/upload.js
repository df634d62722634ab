// Upload form for a new item (text and image), which can be recommended immediately.

import { send } from "./api.js";
import { byId } from "./dom.js";
import { remember, state } from "./state.js";

export function startUpload(found) {
  const [dialog, form, error] = [byId("upload"), byId("upload-form"), byId("upload-error")];
  byId("open-upload").addEventListener("click", () => {
    error.textContent = "";
    dialog.showModal();
    byId("new-id").focus();
  });
  byId("new-image").addEventListener("change", preview);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.textContent = "";
    const problem = tooLarge();
    if (problem) return void (error.textContent = problem);
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      const { item } = await send("/api/items", filled(form));
      remember([item]);
      form.reset();
      preview();
      dialog.close();
      await found(item);
    } catch (problem) {
      error.textContent = problem.message;
    } finally {
      button.disabled = false;
    }
  });
}

function filled(form) {
  const data = new FormData(form);
  if (!data.get("image")?.size) data.delete("image");
  return data;
}

function tooLarge() {
  const file = byId("new-image").files[0];
  const most = state.model.max_upload_bytes;
  return file && file.size > 0.98 * most ? `The image is larger than ${Math.floor(most / 1e6)} MB.` : "";
}

function preview() {
  const [image, file] = [byId("new-preview"), byId("new-image").files[0]];
  URL.revokeObjectURL(image.src);
  image.hidden = !file;
  if (file) image.src = URL.createObjectURL(file);
}

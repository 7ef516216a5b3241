// The link that "leads serve" prints has a test key after the #, which browsers
// do not send to the server. It is removed from the address, so that it is not
// in bookmarks and screenshots.
const page = document.querySelector("rapi-doc");
const key = new URLSearchParams(location.hash.slice(1)).get("key");
if (key) {
  history.replaceState(null, "", location.pathname);
  page.addEventListener("spec-loaded", () => page.setApiKey("apiKey", key));
}

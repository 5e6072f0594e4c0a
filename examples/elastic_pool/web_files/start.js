// SPDX-License-Identifier: Apache-2.0
// Sends the chosen pictures and shows how far they are; without this script the form does the same, unseen.
"use strict";

const form = document.getElementById("form");
const files = document.getElementById("files");
const send = document.getElementById("send");
const progress = document.getElementById("progress");
const status = document.getElementById("status");
const drop = document.getElementById("drop");

const megabytes = (bytes) => (bytes / 1e6).toFixed(1) + " MB";

function upload() {
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.upload.onprogress = (event) => {
    progress.max = event.total;
    progress.value = event.loaded;
    status.textContent = `${megabytes(event.loaded)} of ${megabytes(event.total)} sent`;
  };
  request.onload = () => {
    if (request.status === 200) location.assign(request.responseURL); // The job's page: the answer was a redirection.
    else fail(request.responseText);
  };
  request.onerror = () => fail('{"error": "the connection was lost: the upload was refused, or the server is gone"}');
  request.send(new FormData(form));
  send.disabled = true;
  progress.hidden = false;
}

function fail(answer) {
  let words = "the server can't be reached";
  try {
    words = JSON.parse(answer).error;
  } catch (error) {
    // An answer of something in between.
  }
  status.textContent = words;
  send.disabled = false;
  progress.hidden = true;
}

files.addEventListener("change", () => {
  const bytes = Array.from(files.files).reduce((sum, file) => sum + file.size, 0);
  status.textContent = files.files.length ? `${files.files.length} chosen, ${megabytes(bytes)}` : "";
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  upload();
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
drop.addEventListener("drop", (event) => {
  files.files = event.dataTransfer.files;
  files.dispatchEvent(new Event("change"));
});

"use strict";
const socket = new WebSocket(location.origin.replace("http", "ws") + "/chat");
const lines = document.getElementById("lines");
socket.onmessage = function (event) {
    const line = document.createElement("li");
    line.textContent = event.data;
    lines.append(line);
};
socket.onclose = () => socket.onmessage({ data: "the chat is closed" });
socket.onopen = () => location.hash && socket.send(decodeURIComponent(location.hash.slice(1)));
document.getElementById("say").onsubmit = function (event) {
    event.preventDefault();
    socket.send(event.target.text.value);
    event.target.reset();
};

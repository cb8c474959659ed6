// SPDX-License-Identifier: Apache-2.0
// Everything here is an addition: each page reads well without it.
"use strict";

// The button in the header switches between light and dark, and the choice is kept.
(function () {
    const root = document.documentElement;
    let stored = null;
    try {
        stored = localStorage.getItem("theme");
    } catch (error) {
        // Storage may be switched off; the system's choice stays.
    }
    if (stored === "light" || stored === "dark") {
        root.dataset.theme = stored;
    }
    const button = document.querySelector(".theme");
    button.hidden = false;
    button.addEventListener("click", function () {
        const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
        root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
        try {
            localStorage.setItem("theme", root.dataset.theme);
        } catch (error) {
            // As above.
        }
    });
})();

// Tables of the reference: the field above them hides the rows that do not match.
(function () {
    const field = document.querySelector(".search");
    if (!field) {
        return;
    }
    const sections = document.querySelectorAll("[data-filter]");
    field.hidden = false;
    field.addEventListener("input", function () {
        const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const section of sections) {
            let shown = 0;
            for (const row of section.querySelectorAll("tbody tr")) {
                const text = row.textContent.toLowerCase();
                row.hidden = !words.every((word) => text.includes(word));
                shown += row.hidden ? 0 : 1;
            }
            section.hidden = shown === 0;
        }
    });
})();

// The home page shows what the health script answers.
(function () {
    const box = document.querySelector(".live");
    if (!box) {
        return;
    }
    fetch("/health")
        .then((response) => response.json())
        .then(function (health) {
            const now = new Date(health.time_ms);
            const parts = [
                ["status", health.status],
                ["version", health.version],
                ["time", now.toISOString()],
            ];
            box.replaceChildren();
            for (const [name, value] of parts) {
                const item = document.createElement("span");
                const label = document.createElement("b");
                label.textContent = value;
                item.append(name + " ", label);
                box.append(item);
            }
        })
        .catch(function () {
            box.textContent = "The health script did not answer.";
        });
})();

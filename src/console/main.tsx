import "./styles/index.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Console } from "./console.tsx";
import { applyTheme } from "./shell/theme.ts";

applyTheme();
const place = document.getElementById("console");
if (place === null) throw new Error("the page has no place for the console");
createRoot(place).render(
  <StrictMode>
    <Console />
  </StrictMode>,
);

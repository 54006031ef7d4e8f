// Lints the page of the hierarchy browser: npx eslint (make lint does it where Node.js is there).
import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["build/", ".venv/", "reports/"] },
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser, sourceType: "module" },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error", "no-shadow": "error" },
  },
];

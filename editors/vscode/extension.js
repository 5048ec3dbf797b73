"use strict";
// The client of `cnndsl lsp`, and the page of `cnndsl watch` beside the text.
const { spawn } = require("node:child_process");
const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;
/** The preview of each file: its panel and its process. */
const previews = new Map();

const command = () => {
  const [program, ...rest] = vscode.workspace.getConfiguration("cnndsl").get("command");
  return { program, rest };
};

const start = async () => {
  const { program, rest } = command();
  client = new LanguageClient(
    "cnndsl",
    "cnndsl",
    { command: program, args: [...rest, "lsp"] },
    {
      documentSelector: [{ language: "arch" }],
      synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.arch") },
    },
  );
  try {
    await client.start();
  } catch {
    const install = 'pip install "cnndsl[lsp]"';
    const chosen = await vscode.window.showErrorMessage(
      `\`${program}\` does not start. Install it (${install}), or say where it is.`,
      "Settings",
    );
    if (chosen) vscode.commands.executeCommand("workbench.action.openSettings", "cnndsl.command");
  }
};

/** The page in a frame; it and the editor tell each other of lines. */
const page = (address) => `<!doctype html>
<html><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; frame-src ${address}; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<style>html, body, iframe { margin: 0; padding: 0; border: 0; width: 100%; height: 100vh; background: transparent }</style>
</head><body><iframe id="page" src="${address}"></iframe>
<script>
const editor = acquireVsCodeApi(), frame = document.getElementById("page");
addEventListener("message", (event) => {
  if (event.source === frame.contentWindow) editor.postMessage(event.data);
  else frame.contentWindow.postMessage(event.data, "${new URL(address).origin}");
});
</script></body></html>`;

const goto = async ({ file, line }) => {
  const place = new vscode.Range(line - 1, 0, line - 1, 0);
  const document = await vscode.workspace.openTextDocument(file);
  await vscode.window.showTextDocument(document, {
    viewColumn: vscode.ViewColumn.One,
    selection: place,
    preserveFocus: true,
  });
};

const preview = async () => {
  const editor = vscode.window.activeTextEditor;
  if (editor?.document.languageId !== "arch" || editor.document.isUntitled) {
    vscode.window.showInformationMessage("Save the file first: its figure is drawn from disk.");
    return;
  }
  const file = editor.document.fileName;
  if (previews.has(file)) {
    previews.get(file).panel.reveal(undefined, true);
    return;
  }
  const { program, rest } = command();
  const process = spawn(program, [...rest, "watch", file, "--no-open"]);
  const panel = vscode.window.createWebviewPanel(
    "cnndsl.preview",
    `Figure: ${file.split(/[\\/]/).pop()}`,
    { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
    { enableScripts: true, retainContextWhenHidden: true },
  );
  previews.set(file, { panel, process });
  panel.onDidDispose(() => {
    previews.delete(file);
    process.kill();
  });
  panel.webview.onDidReceiveMessage((said) => said?.cnndsl === "goto" && goto(said));
  let told = "";
  let trouble = "";
  process.stderr.on("data", (text) => (trouble += text));
  process.stdout.on("data", async (text) => {
    const before = /^(http:\S+)\n/.test(told);
    told += text;
    const address = /^(http:\S+)\n/.exec(told)?.[1];
    if (address && !before) {
      const outside = await vscode.env.asExternalUri(vscode.Uri.parse(address));
      panel.webview.html = page(outside.toString());
    }
  });
  const ended = (text) => {
    if (!previews.has(file)) return;
    vscode.window.showErrorMessage(`cnndsl watch: ${text || "it has ended"}`);
    panel.dispose();
  };
  process.on("error", (error) => ended(error.message));
  process.on("exit", () => ended(trouble.trim()));
};

exports.activate = async (context) => {
  context.subscriptions.push(
    vscode.commands.registerCommand("cnndsl.preview", preview),
    vscode.commands.registerCommand("cnndsl.restart", async () => {
      await client?.stop().catch(() => undefined);
      await start();
    }),
    vscode.window.onDidChangeTextEditorSelection(({ textEditor, selections }) => {
      const file = textEditor.document.fileName;
      for (const { panel } of previews.values()) {
        panel.webview.postMessage({ cnndsl: "line", file, line: selections[0].active.line + 1 });
      }
    }),
    { dispose: () => previews.forEach(({ panel }) => panel.dispose()) },
  );
  await start();
};

exports.deactivate = () => client?.stop();

"use strict";
// The client of `cnndsl lsp`, and the page of `cnndsl watch` beside the text.
const { spawn } = require("node:child_process");
const { readFileSync } = require("node:fs");
const { get } = require("node:http");
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

/** The page of `cnndsl watch`, to which the editor sends what is shown. */
const page = (webview, folder) => {
  const here = (name) => webview.asWebviewUri(vscode.Uri.joinPath(folder, name));
  const policy = `default-src 'none'; script-src ${webview.cspSource}; style-src ${webview.cspSource} 'unsafe-inline'; font-src ${webview.cspSource}`;
  return readFileSync(vscode.Uri.joinPath(folder, "watch.html").fsPath, "utf8")
    .replace("<head>", `<head>\n<meta http-equiv="Content-Security-Policy" content="${policy}">`)
    .replace("/watch.css", here("watch.css"))
    .replace("/watch.js", here("watch.js"));
};

/** Send on what `cnndsl watch` says: it answers this machine, the page may be on another. */
const relay = (address, show) =>
  get(`${address}events`, (answer) => {
    let said = "";
    answer.setEncoding("utf8");
    answer.on("data", (text) => {
      said += text;
      for (let end; (end = said.indexOf("\n\n")) >= 0; said = said.slice(end + 2)) {
        if (said.startsWith("data: ")) show(JSON.parse(said.slice(6, end)));
      }
    });
  }).on("error", () => undefined);

const goto = async ({ file, line }) => {
  const place = new vscode.Range(line - 1, 0, line - 1, 0);
  const document = await vscode.workspace.openTextDocument(file);
  await vscode.window.showTextDocument(document, {
    viewColumn: vscode.ViewColumn.One,
    selection: place,
    preserveFocus: true,
  });
};

const preview = async (folder) => {
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
    { enableScripts: true, retainContextWhenHidden: true, localResourceRoots: [folder] },
  );
  previews.set(file, { panel, process });
  panel.onDidDispose(() => {
    previews.delete(file);
    process.kill();
  });
  // What was last shown, for a page that comes later.
  let shown;
  let ready = false;
  const show = () => ready && shown && panel.webview.postMessage({ cnndsl: "shown", shown });
  panel.webview.onDidReceiveMessage((said) => {
    if (said?.cnndsl === "goto") goto(said);
    if (said?.cnndsl === "ready") {
      ready = true;
      show();
    }
  });
  panel.webview.html = page(panel.webview, folder);
  let told = "";
  let trouble = "";
  process.stderr.on("data", (text) => (trouble += text));
  process.stdout.on("data", (text) => {
    const before = /^(http:\S+)\r?\n/.test(told);
    told += text;
    const address = /^(http:\S+)\r?\n/.exec(told)?.[1];
    if (address && !before) {
      relay(address, (next) => {
        shown = next;
        show();
      });
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
    vscode.commands.registerCommand("cnndsl.preview", () =>
      preview(vscode.Uri.joinPath(context.extensionUri, "page")),
    ),
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

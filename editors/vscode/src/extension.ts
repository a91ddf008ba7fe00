/** What VS Code calls: the language server is started with the first spec, and commands are registered. */

import * as vscode from "vscode";

import { inTerminal } from "./commands";
import { Server } from "./server";

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
    const output = vscode.window.createOutputChannel("mfc", { log: true });
    const started = (server = new Server(output));
    context.subscriptions.push(
        output,
        vscode.commands.registerCommand("mfc.run", (...given: unknown[]) =>
            inTerminal("run", given, started),
        ),
        vscode.commands.registerCommand("mfc.plan", (...given: unknown[]) =>
            inTerminal("plan", given, started),
        ),
        vscode.commands.registerCommand("mfc.restart", () => started.restart()),
        vscode.workspace.onDidChangeConfiguration(async (change) => {
            if (change.affectsConfiguration("mfc.path") || change.affectsConfiguration("mfc.args")) {
                await started.restart();
            }
        }),
    );
    await started.restart();
}

export async function deactivate(): Promise<void> {
    await server?.stop();
}

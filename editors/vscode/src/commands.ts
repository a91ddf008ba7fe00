/** `mfc.run` and `mfc.plan`: of code lenses, of the button at a spec's tab, and of the command palette. */

import { dirname, relative } from "node:path";
import * as vscode from "vscode";

import { program } from "./program";

/** Types `mfc run FILE --target NAME` into a terminal. A code lens gives the address of a spec and the name of a
 * declaration, a menu gives the address alone, the command palette nothing: then it is the spec in the active editor. */
export async function inTerminal(command: "run" | "plan", given: unknown[]): Promise<void> {
    const [place, target] = given;
    const uri = addressOf(place) ?? vscode.window.activeTextEditor?.document.uri;
    if (uri?.scheme !== "file") {
        await vscode.window.showErrorMessage(`Open a spec, and save it, to ${command} it.`);
        return;
    }
    const document = vscode.workspace.textDocuments.find((open) => open.uri.toString() === uri.toString());
    if (document?.isDirty && !(await document.save())) {
        return;
    }
    const cwd = vscode.workspace.getWorkspaceFolder(uri)?.uri.fsPath ?? dirname(uri.fsPath);
    const words = [program(), command, relative(cwd, uri.fsPath)];
    if (typeof target === "string") {
        words.push("--target", target);
    }
    const name = ["mfc", command, ...(typeof target === "string" ? [target] : [])].join(" ");
    const terminal =
        vscode.window.terminals.find((open) => open.name === name && open.exitStatus === undefined) ??
        vscode.window.createTerminal({ name, cwd });
    terminal.show();
    terminal.sendText(words.map(quoted).join(" "));
}

function addressOf(place: unknown): vscode.Uri | undefined {
    if (typeof place === "string") {
        return /^[a-z][a-z+.-]+:/i.test(place) ? vscode.Uri.parse(place) : vscode.Uri.file(place);
    }
    return place instanceof vscode.Uri ? place : undefined;
}

/** A word as a shell reads it: of those that come with systems all take words of these letters as they are. */
function quoted(word: string): string {
    if (/^[\w@%+:,./\\~-]+$/.test(word)) {
        return word;
    }
    return process.platform === "win32" ? `"${word}"` : `'${word.replaceAll("'", "'\\''")}'`;
}

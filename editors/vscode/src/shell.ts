/** Command lines as shells read them. */

import { win32 } from "node:path";

interface Shell {
    /** A word that it reads as it stands. */
    plain: RegExp;
    quoted: (word: string) => string;
    /** What stands before a program that is quoted. */
    call?: string;
}

const POSIX: Shell = {
    plain: /^[\w@%+:,./=-]+$/,
    quoted: (word) => `'${word.replaceAll("'", "'\\''")}'`,
};
const CMD: Shell = {
    plain: /^[\w@+:./\\~-]+$/,
    quoted: (word) => `"${word.replaceAll('"', '""')}"`,
};
const PWSH: Shell = {
    plain: /^[\w./:=\\~-]+$/,
    quoted: (word) => `'${word.replaceAll(/['‘’‚‛]/g, "$&$&")}'`, // each of these ends a text that any of them begins
    call: "& ",
};
const POWERSHELL: Shell = {
    ...PWSH,
    quoted: (word) => PWSH.quoted(word.replaceAll(/(\\*)"/g, '$1$1\\"')), // it hands them on as they are
};
const SHELLS: Record<string, Shell> = { cmd: CMD, powershell: POWERSHELL, pwsh: PWSH, "pwsh-preview": PWSH };

/** A line that calls a program, for a shell that is named by its file. */
export function line(words: string[], shell: string): string {
    const strange = words.find((word) => /[\x00-\x1f\x7f]/.test(word));
    if (strange !== undefined) {
        throw new Error(`${JSON.stringify(strange)} can't be typed into a terminal.`); // it would be a key
    }
    const kind =
        SHELLS[
            win32
                .basename(shell)
                .toLowerCase()
                .replace(/\.exe$/, "")
        ] ?? POSIX; // it takes both slashes
    const quoted = words.map((word) => (kind.plain.test(word) ? word : kind.quoted(word)));
    return (quoted[0] !== words[0] ? (kind.call ?? "") : "") + quoted.join(" ");
}

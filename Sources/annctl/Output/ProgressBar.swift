import Foundation

/// Stages of long work on standard error: a bar on a terminal, a line per finished stage elsewhere.
final class ProgressBar {
    private let stages: [String]
    let isTerminal = isatty(STDERR_FILENO) == 1
    private var shown = ""
    private var current = ""
    private var began = Date()

    init(stages: [String]) { self.stages = stages }

    /// - Parameter detail: behind the bar, on a terminal.
    func show(_ stage: String, _ fraction: Double, detail: String = "") {
        if stage != self.current {
            self.finishLine()
            self.current = stage
            self.began = Date()
        }
        let number = (self.stages.firstIndex(of: stage) ?? 0) + 1
        let head = "[\(number)/\(self.stages.count)] \(stage)"
        guard self.isTerminal else {
            if fraction >= 1, self.shown != head {
                self.shown = head
                self.write("\(head): \(self.seconds)\n")
            }
            return
        }
        let width = 30
        let filled = Int(Double(width) * min(1, max(0, fraction)))
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
        let line =
            "\(head.padding(toLength: 28, withPad: " ", startingAt: 0)) \(bar) \(Int(fraction * 100)) % \(self.seconds) \(detail)"
        guard line != self.shown else { return }
        self.shown = line
        self.write("\r\u{1b}[K" + line)
    }

    func end() { self.finishLine() }

    /// A line of its own, above the bar.
    func note(_ text: String) {
        if self.isTerminal, !self.shown.isEmpty { self.write("\r\u{1b}[K") }
        self.write(text + "\n")
        if self.isTerminal { self.shown = "" }
    }

    private var seconds: String { String(format: "%.1f s", Date().timeIntervalSince(self.began)) }

    private func finishLine() {
        if self.isTerminal, !self.shown.isEmpty { self.write("\n") }
        if self.isTerminal { self.shown = "" }
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}

import AnnexTools
import Foundation

/// What a run of `ingest` says while it runs: a bar on a terminal, elsewhere a line every ten seconds.
///
/// Unchecked because `show` is called by the run's thread alone, and `end` after the last of it.
final class IngestDisplay: @unchecked Sendable {
    private static let (stage, secondsBetweenLines) = ("ingest", 10.0)

    private let bar = ProgressBar(stages: [stage])
    private let file: String
    private let begin = Date()
    private var toldAt = Date()

    init(_ file: String, _ progress: IngestProgress) {
        self.file = file
        if progress.lines > 0 { self.bar.note("\(file): going on behind line \(progress.lines)") }
    }

    func show(_ news: IngestNews) {
        switch news {
        case .note(let text): self.bar.note(text)
        case .progress(let fraction, let acknowledged, let rejected):
            let seconds = Date().timeIntervalSince(self.begin)
            let perSecond = Figures.fixed(Double(acknowledged) / max(seconds, 0.001), 0)
            let detail = "\(acknowledged) events, \(perSecond)/s" + (rejected > 0 ? ", \(rejected) rejected" : "")
            guard self.bar.isTerminal else {
                guard Date().timeIntervalSince(self.toldAt) >= Self.secondsBetweenLines else { return }
                self.toldAt = Date()
                return self.bar.note("\(self.file): \(detail), \(Figures.percent(fraction)) read")
            }
            self.bar.show(Self.stage, fraction, detail: detail)
        }
    }

    func end() { self.bar.end() }
}

/// What a run came to, for people.
struct IngestSummary {
    let text: String

    /// - Parameter lines: that were done before.
    init(_ file: String, _ rejects: String, from lines: Int, _ result: IngestResult) {
        let done = result.progress.lines
        let head =
            result.progress.isFinished
            ? "\(file): all \(done) lines are done"
            : "\(file): the first \(done) lines are done; what was acknowledged behind them is sent again"
        let perSecond = result.seconds > 0 ? Double(result.acknowledged) / result.seconds : 0
        var parts = [
            "\(result.acknowledged) events acknowledged of \(result.sent) sent",
            "\(result.rejected) lines rejected" + (result.rejected > 0 ? " (\(rejects))" : ""),
            "\(Figures.fixed(perSecond, 0)) events/s, \(Figures.fixed(result.seconds, 1)) s",
        ]
        if lines > 0 {
            let whole = "in all \(result.progress.acknowledged) acknowledged, \(result.progress.rejected) rejected"
            parts.append("began behind line \(lines), \(whole)")
        }
        self.text = ([head] + parts.map { "  " + $0 }).joined(separator: "\n")
    }
}

import AnnexBuild
import AnnexCore
import ArgumentParser
import Foundation

struct TuneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tune",
        abstract: "Compare index kinds and parameters on a version's own items and users.",
        discussion: """
            Builds each kind in memory, asks it held-out queries one at a time, and marks the points that nothing else \
            beats in recall and time. Nothing is published; give the kind you choose to `annctl build --index`.

              annctl tune indexes/NAME --kind Flat --kind IVF128,SQ8 --svg tune.svg
            """
    )

    @OptionGroup var index: IndexArgument
    @Option(
        name: .customLong("kind"),
        help: "A factory string; may be given several times. (default: a choice by size)"
    )
    var kinds: [String] = []
    @Option(help: "At most so many queries, drawn by the seed.") var count = 2_000
    @Option(help: "Seed of all that is drawn at random.") var seed: UInt64 = 1
    @Option(help: "Cores for building; searching takes one. (default: all)") var threads: Int?
    @Option(help: ArgumentHelp("Draw recall and queries per second.", valueName: "file.svg")) var svg: String?
    @Flag(help: "Every point, not only those that nothing beats.") var every = false
    @Flag(help: "Print JSON: every point.") var json = false

    func validate() throws {
        guard (1...HeldOutLimits.queries).contains(self.count) else {
            throw ValidationError("--count is 1 to \(HeldOutLimits.queries)")
        }
        guard (1...1_024).contains(self.threads ?? 1) else { throw ValidationError("--threads is 1 to 1024") }
    }

    private enum HeldOutLimits { static let queries = 1_000_000 }

    func run() throws {
        let tuning = try Tuning(
            folder: PublishedVersions.folder(of: self.index.folder, self.index.resolved()),
            limit: self.count,
            seed: self.seed,
            threads: self.threads ?? ProcessInfo.processInfo.activeProcessorCount
        )
        let given = try self.kinds.map { text throws(AnnexError) in try IndexKind(parsing: text) }
        let kinds = given.isEmpty ? try tuning.defaultKinds() : given
        let bar = ProgressBar(stages: kinds.map(\.description))
        var points: [Tuning.Point] = []
        for kind in kinds {
            bar.show(kind.description, 0)
            do throws(AnnexError) { points += try tuning.measure(kind) } catch {
                bar.end()
                throw error
            }
            bar.show(kind.description, 1)
        }
        bar.end()
        points = Tuning.marked(points)
        if let svg {
            let drawing = ParetoDrawing(points: points, title: self.title(tuning))
            try Data(drawing.text.utf8).write(to: URL(fileURLWithPath: svg))
        }
        self.json ? try self.printJSON(points) : self.printTable(tuning, points)
    }

    private func title(_ tuning: Tuning) -> String {
        let manifest = tuning.manifest
        return "\(manifest.items) items × \(manifest.dimension), \(manifest.metric), \(tuning.queryCount) queries "
            + "(\(tuning.queryKind)), k = 10, one thread"
    }

    private func printTable(_ tuning: Tuning, _ points: [Tuning.Point]) {
        print(self.title(tuning))
        var table = TextTable(
            headings: [
                "kind", "effort", "recall", "worst", "never returned", "µs a query", "bytes an item", "built in", "",
            ],
            rightAligned: [2, 3, 4, 5, 6, 7]
        )
        for point in points.sorted(by: { ($0.recall, $1.micros) < ($1.recall, $0.micros) })
        where self.every || point.isPareto {
            table.rows.append([
                point.kind, point.knob == "exact" ? "exact" : "\(point.knob) \(Figures.short(point.value))",
                Figures.fixed(point.recall, 4), Figures.fixed(point.worst, 2), "\(point.neverReturned)",
                Figures.fixed(point.micros, 1), Figures.fixed(point.bytesPerItem, 0),
                Figures.fixed(point.buildSeconds, 1) + " s", self.every && point.isPareto ? "← best" : "",
            ])
        }
        print(table.render(indent: "  "))
    }

    private func printJSON(_ points: [Tuning.Point]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(points), as: UTF8.self))
    }
}

/// Recall against queries per second, one line a kind, as SVG. The recall axis shows 1 − recall on a logarithmic scale, as
/// the last tenths of a per cent are what matters.
struct ParetoDrawing {
    let points: [Tuning.Point]
    let title: String
    private static let (width, height) = (760.0, 460.0)
    private static let (left, right, top, bottom) = (80.0, 170.0, 50.0, 60.0)

    private func x(_ recall: Double) -> Double {
        let missing = min(0.5, max(1e-4, 1 - recall))
        let share = (log10(0.5) - log10(missing)) / (log10(0.5) - log10(1e-4))
        return Self.left + share * (Self.width - Self.left - Self.right)
    }

    private func y(_ speed: Double) -> Double {
        let speeds = self.points.map { 1e6 / max($0.micros, 1e-3) }
        let low = log10((speeds.min() ?? 1) / 1.5)
        let high = log10((speeds.max() ?? 10) * 1.5)
        let share = (log10(speed) - low) / max(high - low, 1e-9)
        return Self.height - Self.bottom - share * (Self.height - Self.top - Self.bottom)
    }

    private func axes() -> [String] {
        var out: [String] = []
        for recall in [0.5, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999] {
            out.append(SVG.line(self.x(recall), Self.top, self.x(recall), Self.height - Self.bottom))
            out.append(SVG.label(self.x(recall), Self.height - Self.bottom + 18, "\(recall)"))
        }
        for power in 1...7 {
            let speed = pow(10, Double(power))
            let at = self.y(speed)
            guard at > Self.top, at < Self.height - Self.bottom else { continue }
            out.append(SVG.line(Self.left, at, Self.width - Self.right, at))
            out.append(SVG.label(Self.left - 8, at + 4, "\(Int(speed))", "end"))
        }
        out.append(SVG.label((Self.left + Self.width - Self.right) / 2, Self.height - 18, "recall@10"))
        out.append(SVG.label(12, 34, "queries per second", "start"))
        out.append(SVG.label(12, 16, self.title, "start"))
        return out
    }

    var text: String {
        var out = self.axes()
        var kinds: [String] = []
        for point in self.points where !kinds.contains(point.kind) { kinds.append(point.kind) }
        for (number, kind) in kinds.enumerated() {
            let colour = SVG.colours[number % SVG.colours.count]
            let own = self.points.filter { $0.kind == kind }.map {
                (self.x($0.recall), self.y(1e6 / max($0.micros, 1e-3)))
            }
            out.append(SVG.polyline(own, colour))
            for (x, y) in own { out.append(SVG.dot(x, y, colour)) }
            out.append(SVG.label(Self.width - Self.right + 12, Self.top + 16 * Double(number), kind, "start", colour))
        }
        return SVG.document(width: Self.width, height: Self.height, out)
    }
}

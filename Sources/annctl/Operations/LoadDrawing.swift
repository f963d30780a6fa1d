import AnnexTools
import Foundation

/// Latency by percentile, one line a run, over an axis on which each further nine takes as much room as the one before;
/// below it, where a mix ran at several rates, p99 by the throughput reached. Latency is logarithmic in both.
struct LoadDrawing {
    private static let width = 860.0
    private static let panelHeight = 420.0
    private static let (left, right, top, bottom) = (90.0, 190.0, 50.0, 60.0)

    private let report: LoadReport

    init(_ report: LoadReport) { self.report = report }

    var text: String {
        let byMix = Dictionary(grouping: self.report.runs.filter { $0.rate != nil }, by: \.mix).filter {
            $0.value.count > 1
        }
        var elements = [SVG.label(12, 18, self.report.title, "start")] + self.percentiles()
        if !byMix.isEmpty { elements += self.throughput(byMix, below: Self.panelHeight) }
        return SVG.document(width: Self.width, height: Self.panelHeight * (byMix.isEmpty ? 1 : 2), elements)
    }

    // MARK: Panels

    private func percentiles() -> [String] {
        let curves = self.report.runs.map(\.result.curve)
        let nines = curves.compactMap { $0.last.map { -log10($0.share) } }.max() ?? 1
        let across = Axis(from: 0, to: max(nines, 1), at: Self.left, until: Self.width - Self.right)
        let up = Self.latencyAxis(curves.joined().map(\.micros), below: 0)
        var out = Self.latencyGrid(up, "latency", below: 0)
        for tick in 0...Int(max(nines, 1)) {
            let x = across.coordinate(Double(tick))
            let name =
                tick == 0
                ? "0" : tick == 1 ? "90 %" : tick == 2 ? "99 %" : "99.\(String(repeating: "9", count: tick - 2)) %"
            out.append(SVG.line(x, Self.top, x, Self.panelHeight - Self.bottom))
            out.append(SVG.label(x, Self.panelHeight - Self.bottom + 18, name))
        }
        out.append(SVG.label(across.middle, Self.panelHeight - 18, "percentile"))
        for (number, run) in self.report.runs.enumerated() {
            let colour = SVG.colours[number % SVG.colours.count]
            let path = run.result.curve.map {
                (across.coordinate(-log10($0.share)), up.coordinate(Self.log($0.micros)))
            }
            out.append(SVG.polyline(path, colour))
            let y = Self.top + 16 * Double(number)
            out.append(SVG.label(Self.width - Self.right + 12, y, run.name, "start", colour))
        }
        return out
    }

    private func throughput(_ byMix: [String: [LoadReport.Run]], below offset: Double) -> [String] {
        let all = byMix.values.joined()
        let most = (all.map(\.result.requestsPerSecond).max() ?? 1) * 1.05
        let across = Axis(from: 0, to: max(most, 1), at: Self.left, until: Self.width - Self.right)
        let up = Self.latencyAxis(all.map(\.result.latency.p99), below: offset)
        var out = Self.latencyGrid(up, "p99", below: offset)
        let step = pow(10, log10(max(most, 1)).rounded(.down)) / 2
        for tick in stride(from: 0, through: most, by: step) {
            let x = across.coordinate(tick)
            out.append(SVG.line(x, offset + Self.top, x, offset + Self.panelHeight - Self.bottom))
            out.append(SVG.label(x, offset + Self.panelHeight - Self.bottom + 18, Figures.short(tick)))
        }
        out.append(SVG.label(across.middle, offset + Self.panelHeight - 18, "requests a second, as reached"))
        for (number, mix) in byMix.keys.sorted().enumerated() {
            let colour = SVG.colours[number % SVG.colours.count]
            let points = (byMix[mix] ?? []).sorted { ($0.rate ?? 0) < ($1.rate ?? 0) }.map {
                (across.coordinate($0.result.requestsPerSecond), up.coordinate(Self.log($0.result.latency.p99)))
            }
            out.append(SVG.polyline(points, colour))
            out += points.map { SVG.dot($0.0, $0.1, colour) }
            let y = offset + Self.top + 16 * Double(number)
            out.append(SVG.label(Self.width - Self.right + 12, y, mix, "start", colour))
        }
        return out
    }

    // MARK: Axes

    private struct Axis {
        let from: Double
        let to: Double
        let at: Double
        let until: Double
        func coordinate(_ value: Double) -> Double {
            self.at + (value - self.from) / max(self.to - self.from, 1e-9) * (self.until - self.at)
        }
        var middle: Double { (self.at + self.until) / 2 }
    }

    /// Powers of ten of a microsecond.
    private static func log(_ micros: Double) -> Double { log10(max(micros, 0.1)) }

    private static func latencyAxis(_ micros: [Double], below offset: Double) -> Axis {
        let low = Self.log(micros.min() ?? 1).rounded(.down)
        let high = max(Self.log(micros.max() ?? 10).rounded(.up), low + 1)
        return Axis(from: low, to: high, at: offset + Self.panelHeight - Self.bottom, until: offset + Self.top)
    }

    private static func latencyGrid(_ axis: Axis, _ what: String, below offset: Double) -> [String] {
        var out = [SVG.label(12, offset + 34, what, "start")]
        for power in Int(axis.from)...Int(axis.to) {
            let y = axis.coordinate(Double(power))
            out.append(SVG.line(Self.left, y, Self.width - Self.right, y))
            let micros = pow(10, Double(power))
            let name =
                micros < 1e3
                ? "\(Figures.short(micros)) µs"
                : micros < 1e6 ? "\(Figures.short(micros / 1e3)) ms" : "\(Figures.short(micros / 1e6)) s"
            out.append(SVG.label(Self.left - 8, y + 4, name, "end"))
        }
        return out
    }
}

import AnnexCore
import Foundation

/// Writes `report.json`, which has what another run of the same build would not give again.
enum BuildReport {
    private struct Report: Encodable {
        struct Step: Encodable {
            var stage: String
            var seconds: Double
        }
        struct Point: Encodable {
            var knob: String
            var value: Double
            var meanMicros: Double
        }
        struct Candidate: Encodable {
            var kind: String
            var meanMicros: Double
        }
        var built: String
        var stages: [Step]
        var threads: Int
        var peakResidentBytes: Int
        var processor: String
        var system: String
        var queryTimes: [Point]
        /// Measurements at the chosen point of each kind that was tried.
        var candidates: [Candidate]
    }

    static func data(
        started: Date,
        seconds: [(BuildProgress.Stage, Double)],
        threads: Int,
        micros: [Double],
        table: [Manifest.OperatingPoint],
        candidates: [(kind: String, micros: Double)]
    ) throws -> Data {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let report = Report(
            built: ISO8601DateFormatter().string(from: started),
            stages: seconds.map { Report.Step(stage: $0.0.rawValue, seconds: $0.1) },
            threads: threads,
            peakResidentBytes: usage.ru_maxrss * 1024,
            processor: Self.processor(),
            system: ProcessInfo.processInfo.operatingSystemVersionString,
            queryTimes: zip(table, micros).map { Report.Point(knob: $0.knob, value: $0.value, meanMicros: $1) },
            candidates: candidates.map { Report.Candidate(kind: $0.kind, meanMicros: $0.micros) }
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return try encoder.encode(report) + Data("\n".utf8)
    }

    private static func processor() -> String {
        let text =
            FileManager.default.contents(atPath: "/proc/cpuinfo").map { String(decoding: $0, as: UTF8.self) } ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line.flatMap { $0.split(separator: ":").last }.map { $0.trimmingCharacters(in: .whitespaces) }
            ?? "unknown"
    }
}

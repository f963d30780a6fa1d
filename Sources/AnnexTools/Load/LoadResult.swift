import Glibc
import Histogram

/// The measurements of a load. Latencies are of all replies, errors too.
package struct LoadResult: Sendable, Encodable {
    package struct ErrorCount: Sendable, Encodable {
        package var count: Int
        /// Holds the text of the first of them.
        package var example: String
    }

    /// Holds percentiles in microseconds.
    package struct Latency: Sendable, Encodable {
        package var count: Int
        package var mean: Double
        package var p50: Double
        package var p90: Double
        package var p99: Double
        package var p999: Double
        package var max: Double
    }

    package struct CurvePoint: Sendable {
        /// The share of requests, 0 to 1, that are not in it: 0.001 at p99.9.
        package var share: Double
        package var micros: Double
    }

    /// Replies.
    package var requests: Int
    package var seconds: Double
    package var requestsPerSecond: Double
    /// Measures latency from the time when a request was due in an open loop, from its sending in a closed one.
    package var latency: Latency
    /// Measures latency from the sending of a request.
    package var service: Latency
    /// Holds `latency` by command.
    package var commands: [String: Latency]
    package var errors: [String: ErrorCount]
    /// Counts requests that were due and never sent, as the server did not keep up.
    package var unsent: Int
    package var bytesIn: Int
    package var bytesOut: Int
    /// Adds up the processor time of the event loops that made the load.
    package var generatorSeconds: Double
    /// Holds `latency` at ever higher percentiles, 20 to a nine, up to the last that a request stands for.
    package var curve: [CurvePoint]

    private enum CodingKeys: String, CodingKey {
        case requests, seconds, requestsPerSecond, latency, service, commands, errors, unsent, bytesIn, bytesOut
        case generatorSeconds
    }

    init(_ tally: LoadTally, commands: [String]) {
        var all = tally.latency[0]
        for other in tally.latency.dropFirst() { all.add(other) }
        self.requests = Int(all.totalCount)
        self.seconds = Double(tally.nanoseconds) / 1e9
        self.requestsPerSecond = tally.nanoseconds > 0 ? Double(all.totalCount) / self.seconds : 0
        self.latency = Latency(all)
        self.service = Latency(tally.service)
        self.commands = Dictionary(uniqueKeysWithValues: zip(commands, tally.latency.map(Latency.init)))
        self.errors = tally.errors
        self.unsent = tally.unsent
        self.bytesIn = tally.bytesIn
        self.bytesOut = tally.bytesOut
        self.generatorSeconds = Double(tally.processorNanoseconds) / 1e9
        self.curve = Self.curve(all)
    }

    package var errorCount: Int { self.errors.values.reduce(0) { $0 + $1.count } }

    private static func curve(_ histogram: Histogram<UInt64>) -> [CurvePoint] {
        guard histogram.totalCount > 0 else { return [] }
        let ticks = Int((log10(Double(histogram.totalCount)) * 20).rounded(.down))
        return (0...ticks).map { tick in
            let share = pow(10, -Double(tick) / 20)
            return CurvePoint(share: share, micros: Double(histogram.valueAtPercentile((1 - share) * 100)) / 1e3)
        }
    }
}

extension LoadResult.Latency {
    fileprivate init(_ histogram: Histogram<UInt64>) {
        func micros(_ percentile: Double) -> Double {
            histogram.totalCount > 0 ? Double(histogram.valueAtPercentile(percentile)) / 1e3 : 0
        }
        self.init(
            count: Int(histogram.totalCount),
            mean: histogram.mean / 1e3,
            p50: micros(50),
            p90: micros(90),
            p99: micros(99),
            p999: micros(99.9),
            max: micros(100)
        )
    }
}

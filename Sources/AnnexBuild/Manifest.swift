package import AnnexCore
package import Foundation

/// `manifest.json`: the facts of a version that the same input gives again. Times and machines are in `report.json`.
package struct Manifest: Codable, Sendable, Equatable {
    package static let currentFormat = 1

    package struct FileEntry: Codable, Sendable, Equatable {
        package var path: String
        package var bytes: Int
        package var sha256: String
    }

    package struct Source: Codable, Sendable, Equatable {
        package var role: String
        package var file: String
        package var bytes: Int
        package var sha256: String
    }

    /// One row of the recall table.
    package struct OperatingPoint: Codable, Sendable, Equatable {
        /// `efSearch`, `nprobe` or `exact`.
        package var knob: String
        package var value: Int
        /// Mean recall@10 on the half that chose, its lower 95 % bound, and the worst query's.
        package var recall: Double
        package var recallLowerBound: Double
        package var worst: Double
    }

    package struct Measured: Codable, Sendable, Equatable {
        /// `users` or `items with noise`.
        package var queries: String
        package var queryCount: Int
        package var target: Double
        package var chosen: OperatingPoint
        /// On the half that did not choose.
        package var reportedRecall: Double
        package var reportedWorst: Double
        package var table: [OperatingPoint]
        /// Items no walk over level-0 links reaches; absent without a graph.
        package var unreachableItems: Int?
    }

    package var format = Manifest.currentFormat
    package var index: String
    package var metric: String
    package var kind: String
    package var dimension: Int
    /// With what Annex adds (a column of biases, say).
    package var storedDimension: Int
    package var items: Int
    package var users: Int
    package var itemsWithAttributes: Int
    package var rejectedRows: Int
    package var seed: UInt64
    package var sources: [Source]
    package var measured: Measured
    /// Every other file, by path, but `manifest.sha256` and `report.json`.
    package var files: [FileEntry]

    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }

    /// - Throws: `.damaged` for what is no manifest, or of a format or with values this program does not know.
    package static func decode(_ data: Data, at path: String) throws(AnnexError) -> Manifest {
        func damaged(_ why: String) -> AnnexError {
            AnnexError(.damaged, why, at: path, hint: "Build the version again, or roll back")
        }
        guard data.count <= 16 << 20 else { throw damaged("has \(data.count) bytes") }
        let manifest: Manifest
        do { manifest = try JSONDecoder().decode(Manifest.self, from: data) } catch { throw damaged("is no manifest: \(error)") }
        guard manifest.format == Self.currentFormat else {
            throw damaged("has format \(manifest.format), this program reads \(Self.currentFormat)")
        }
        guard EntryName(manifest.index) != nil, Metric(rawValue: manifest.metric) != nil,
            (1...Limits.maximumDimension).contains(manifest.dimension), manifest.storedDimension == manifest.dimension,
            (1...Limits.maximumItems).contains(manifest.items), manifest.users >= 0,
            manifest.files.allSatisfy({ $0.bytes >= 0 && $0.sha256.utf8.count == 64 })
        else { throw damaged("has impossible values") }
        do { _ = try IndexKind(parsing: manifest.kind) } catch { throw damaged("names the kind '\(Printable.escape(manifest.kind))'") }
        return manifest
    }

    package var parsedKind: IndexKind? { try? IndexKind(parsing: self.kind) }

    /// The effort that the build chose.
    package var defaultEffort: SearchEffort {
        switch self.measured.chosen.knob {
        case "efSearch": .efSearch(self.measured.chosen.value)
        case "nprobe": .nprobe(self.measured.chosen.value)
        default: .exact
        }
    }
}

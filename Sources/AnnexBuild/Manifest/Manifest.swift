package import AnnexCore
package import Foundation

/// Holds `manifest.json`, the facts of a version that the same input gives again. Times and machines are in
/// `report.json`.
package struct Manifest: Codable, Sendable, Equatable {
    /// 4 is the oldest that is read; 5 brought histories and `foldin.bin`, 6 biased models, 7 bounds in `serving.bin` that hold
    /// for rows close together. The latest is written.
    package static let currentFormat = 7
    static let formatWithoutBiases = 5
    static let formatWithoutHistories = 4
    static let knownFormats = 4...currentFormat
    /// A longer file is refused unread.
    static let limitBytes = 1 << 20

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

    /// Holds one row of the recall table.
    package struct OperatingPoint: Codable, Sendable, Equatable {
        /// The knob is `efSearch`, `nprobe`, `kappa` or `exact`.
        package var knob: String
        package var value: Double
        /// Mean recall@10 on the half that chose, its lower 95 % bound, and the worst query's.
        package var recall: Double
        package var recallLowerBound: Double
        package var worst: Double
        /// Counts items whose codes or vectors a query read, on average. It is absent where FAISS searched.
        package var itemsRead: Double?
    }

    package struct Measured: Codable, Sendable, Equatable {
        /// The queries are `users` or `items with noise`.
        package var queries: String
        package var queryCount: Int
        package var target: Double
        package var chosen: OperatingPoint
        /// Says the recall on the half that did not choose.
        package var reportedRecall: Double
        package var reportedWorst: Double
        package var table: [OperatingPoint]
        /// Counts items that no walk over the graph's level-0 links reaches, as FAISS made it. It is absent without a
        /// graph.
        package var unreachableItems: Int?
        /// Counts links that were added so that all of them are reached. It is absent in versions that did not add any.
        package var linksAdded: Int?
        /// Counts items that walks were sent to look for, those that they did not find, and links added for that;
        /// absent on `ip` and without a graph.
        package var itemsLookedFor: Int?
        package var itemsMissed: Int?
        package var bridgesAdded: Int?
        /// Counts items that stand in the exact top 10 of at least one query, and those of them that no query got at
        /// the chosen point: what a mean recall hides.
        package var itemsInTruth: Int?
        package var itemsNeverReturned: Int?
    }

    /// The operating point where each query leaves out its own best `items` items, as users do who have seen them.
    package struct LeavingOut: Codable, Sendable, Equatable {
        package var items: Int
        package var queryCount: Int
        package var point: OperatingPoint
    }

    /// Describes a kind that `auto` tried, at its chosen point. How long a query took is in `report.json`, as it
    /// varies.
    package struct Candidate: Codable, Sendable, Equatable {
        package var kind: String
        package var knob: String
        /// It is nil, as `recall` is, where the kind was given up: it was slower than the fastest before it reached the
        /// target.
        package var value: Double?
        package var recall: Double?
        /// Counts bytes that the index holds for each item, beside the float32 rows.
        package var bytesPerItem: Double
    }

    package var format = Manifest.currentFormat
    package var index: String
    package var metric: String
    package var kind: String
    package var dimension: Int
    /// Holds the number of components with the column of biases that Annex adds for a biased model.
    package var storedDimension: Int
    package var items: Int
    package var users: Int
    package var itemsWithAttributes: Int
    package var rejectedRows: Int
    package var seed: UInt64
    /// Holds the bias of a biased model; see `ModelBias`.
    package var bias: Bias?
    /// Holds keys and values of the recipe, defaults written out. Versions of format 4 may lack it.
    package var recipe: [String: String]?
    package var sources: [Source]
    /// Holds what was measured with users as queries, as `TOPK` does, where there are users.
    package var measured: Measured
    /// Holds what was measured with users as queries. It is absent without users, in small indexes, and in versions
    /// that did not measure it.
    package var measuredLeavingOut: LeavingOut?
    /// Holds what was measured with items as queries, as `VSIM` does. It is absent where `measured` is just that.
    package var measuredOnItems: Measured?
    /// It is present where the kind was `auto` and several fit; the fastest was kept.
    package var candidates: [Candidate]?
    /// It is present where users' vectors follow from histories, with `foldin.bin`.
    package var foldIn: FoldIn?
    /// With a history these say up to when it goes (milliseconds since 1970), how many users have one, and how many
    /// different items are in them all.
    package var trainedUntil: Int64?
    package var histories: Int?
    package var interactions: Int?
    /// Lists every other file, by path, but `manifest.sha256` and `report.json`.
    package var files: [FileEntry]

    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }

    package var parsedKind: IndexKind? { try? IndexKind(parsing: self.kind) }

    /// Returns the effort that the build chose for users' vectors, and for items'.
    package var defaultEffort: DefaultEffort {
        DefaultEffort(
            self.measured.chosen.effort,
            leavingOut: self.measuredLeavingOut.map { .init(items: $0.items, effort: $0.point.effort) }
        )
    }
    package var defaultItemEffort: SearchEffort { (self.measuredOnItems ?? self.measured).chosen.effort }

    /// Tells whether there are users' files.
    package var hasUsers: Bool { self.users > 0 || (self.histories ?? 0) > 0 }
}

extension Manifest.OperatingPoint {
    package var effort: SearchEffort { SearchEffort(IndexKind.Knob(rawValue: self.knob), self.value) }

    /// Returns the value as people write it.
    package var valueText: String {
        guard self.knob != "exact" else { return "-" }
        return self.value == self.value.rounded() ? "\(Int(self.value))" : "\(self.value)"
    }
}

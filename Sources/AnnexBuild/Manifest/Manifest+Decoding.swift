package import AnnexCore
import AnnexIndex
package import Foundation

/// Reads a manifest that anybody may have written. Checksums can be recomputed, so every value is bounded here, and
/// what this lets through neither overflows a sum nor reaches a terminal as a control character.
extension Manifest {
    /// - Throws: `.damaged` for what is no manifest, or of a format or with values this program does not know.
    package static func decode(_ data: Data, at path: String) throws(AnnexError) -> Manifest {
        func damaged(_ why: String) -> AnnexError {
            AnnexError(.damaged, why, at: path, hint: "Build the version again, or `annctl rollback`")
        }
        guard data.count <= Self.limitBytes else { throw damaged("has \(data.count) bytes") }
        struct Format: Decodable { var format: Int }
        let manifest: Manifest
        do {
            let format = try JSONDecoder().decode(Format.self, from: data).format
            guard Self.knownFormats.contains(format) else {
                throw Self.unreadable(format, at: path)
            }
            manifest = try JSONDecoder().decode(Manifest.self, from: data)
        } catch let error as AnnexError {
            throw error
        } catch {
            throw damaged("is no manifest: \(Self.reason(error))")
        }
        if let problem = manifest.problem { throw damaged("has an impossible value: " + problem) }
        return manifest
    }

    private static func unreadable(_ format: Int, at path: String) -> AnnexError {
        let known = "this annctl reads formats \(Self.knownFormats.lowerBound) to \(Self.currentFormat)"
        guard format >= Self.knownFormats.lowerBound else {
            return AnnexError(
                .damaged,
                "is of format \(format), which annctl wrote before 24 November 2026; \(known)",
                at: path,
                hint: "Build the version again with `annctl build`"
            )
        }
        return AnnexError(
            .damaged,
            "is of format \(format), which a later annctl wrote; \(known)",
            at: path,
            hint: "Use the annctl that wrote it, or build the version again with `annctl build`"
        )
    }

    /// Tells the place in the document, in few words.
    private static func reason(_ error: any Error) -> String {
        let context: DecodingError.Context
        switch error {
        case DecodingError.keyNotFound(let key, _): return "no '\(Printable.escape(key.stringValue, limit: 64))'"
        case DecodingError.typeMismatch(_, let found), DecodingError.valueNotFound(_, let found),
            DecodingError.dataCorrupted(let found):
            context = found
        default: return "it cannot be read"
        }
        let key = context.codingPath.map(\.stringValue).joined(separator: ".")
        return key.isEmpty ? "it is no JSON object" : "'\(Printable.escape(key, limit: 64))' is of the wrong kind"
    }

    /// Says what is wrong with the values. It is nil where nothing is. O(1): every list is bounded first.
    private var problem: String? {
        guard EntryName(self.index) != nil else { return "index" }
        guard Metric(rawValue: self.metric) != nil else { return "metric" }
        guard let kind = self.parsedKind else { return "kind '\(Printable.escape(self.kind, limit: 64))'" }
        if let problem = self.problemOfBias { return problem }
        guard (1...Limits.maximumItems).contains(self.items) else { return "items" }
        guard (0...Limits.maximumItems).contains(self.users) else { return "users" }
        guard (0...self.items).contains(self.itemsWithAttributes) else { return "itemsWithAttributes" }
        guard self.rejectedRows >= 0 else { return "rejectedRows" }
        let candidates = self.candidates ?? []
        guard candidates.count <= 16,
            candidates.allSatisfy({
                (try? IndexKind(parsing: $0.kind)) != nil && Self.isPlain($0.knob, limit: 16)
                    && ($0.value ?? 0).isFinite
                    && Self.isShare($0.recall ?? 0) && $0.bytesPerItem.isFinite
            })
        else { return "candidates" }
        return self.problemOfNames ?? self.problemOfFiles ?? self.problemOfFoldIn
            ?? self.problemOf(self.measured, kind)
            ?? self.measuredOnItems.flatMap { self.problemOf($0, kind) }
            ?? self.measuredLeavingOut.flatMap { self.problemOf($0, kind) }
    }

    private func problemOf(_ leavingOut: LeavingOut, _ kind: IndexKind) -> String? {
        let isPossible =
            (1...self.items).contains(leavingOut.items)
            && (1...HeldOutQueries.maximumCount).contains(leavingOut.queryCount)
            && (self.isPoint(leavingOut.point, self.knob(of: kind)) || self.isPoint(leavingOut.point, nil))
        return isPossible ? nil : "measuredLeavingOut"
    }

    private static let roles: Set<String> = [
        "vectors", "ids", "attributes", "users", "user-ids", "history", "bias", "user-bias", "implicit-factors",
    ]

    private var problemOfNames: String? {
        let recipe = self.recipe ?? [:]
        guard recipe.count <= 32,
            recipe.allSatisfy({ Self.isPlain($0.key, limit: 64) && Self.isPlain($0.value, limit: 4_096) })
        else { return "recipe" }
        guard self.sources.count <= 16,
            self.sources.allSatisfy({
                Self.roles.contains($0.role) && Self.isPlain($0.file, limit: 4_096) && Self.isSize($0.bytes)
                    && Self.isHash($0.sha256)
            })
        else { return "sources" }
        return nil
    }

    private var problemOfFiles: String? {
        let expected = VersionLayout.files(
            withUsers: self.hasUsers,
            withFoldIn: self.foldIn != nil
        )
        guard self.files.map(\.path) == expected else {
            return "files (it does not list those that a version has)"
        }
        for file in self.files where !Self.isSize(file.bytes) || !Self.isHash(file.sha256) {
            return "files, \(file.path)"
        }
        let vectors = self.files.first { $0.path == VersionLayout.vectors }
        guard vectors?.bytes == VectorFile.byteCount(rows: self.items, dimension: self.storedDimension) else {
            let shape = "\(self.items) rows of \(self.storedDimension)"
            return "files, \(VersionLayout.vectors) (its size is not that of \(shape))"
        }
        return nil
    }

    private func problemOf(_ measured: Measured, _ kind: IndexKind) -> String? {
        guard HeldOutQueries.kinds.contains(measured.queries),
            (1...HeldOutQueries.maximumCount).contains(measured.queryCount),
            Self.isShare(measured.target), Self.isShare(measured.reportedRecall), Self.isShare(measured.reportedWorst),
            measured.countsOfItems.allSatisfy({ (0...self.items).contains($0 ?? 0) }),
            (0...self.items * LinkCounts.addedPerItem).contains(measured.bridgesAdded ?? 0)
        else { return "measured" }
        guard (1...64).contains(measured.table.count),
            measured.table.allSatisfy({ self.isPoint($0, self.knob(of: kind)) })
        else {
            return "measured.table"
        }
        guard measured.table.contains(measured.chosen) else { return "measured.chosen" }
        return nil
    }

    private func knob(of kind: IndexKind) -> IndexKind.Knob? {
        Metric(rawValue: self.metric).flatMap { kind.knob($0, withCodes: true) }
    }

    private func isPoint(_ point: OperatingPoint, _ knob: IndexKind.Knob?) -> Bool {
        let values: ClosedRange<Double> =
            switch knob {
            case .efSearch: 1...Double(Limits.maximumEfSearch)
            case .nprobe: 1...Double(Limits.maximumNprobe)
            case .kappa: 0.001...1
            case nil: 0...0
            }
        return point.knob == knob?.rawValue ?? "exact" && values.contains(point.value)
            && (knob == .kappa || point.value == point.value.rounded()) && Self.isShare(point.recall)
            && Self.isShare(point.recallLowerBound) && Self.isShare(point.worst)
            && (0...Double(Limits.maximumItems) * 2).contains(point.itemsRead ?? 0)
    }

    /// Sums of some dozen sizes cannot overflow.
    private static func isSize(_ bytes: Int) -> Bool { (0...1 << 50).contains(bytes) }

    private static func isShare(_ value: Double) -> Bool { (-1...1).contains(value) }

    private static func isHash(_ text: String) -> Bool {
        text.utf8.count == 64
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }

    private static func isPlain(_ text: String, limit: Int) -> Bool {
        text.utf8.count <= limit && Printable.escape(text, limit: limit) == text
    }
}

extension Manifest.Measured {
    fileprivate var countsOfItems: [Int?] {
        [
            self.unreachableItems, self.linksAdded, self.itemsLookedFor, self.itemsMissed, self.itemsInTruth,
            self.itemsNeverReturned,
        ]
    }
}

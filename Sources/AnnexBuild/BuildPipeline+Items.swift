import AnnexCore
import AnnexFormats
import AnnexStore

/// Takes items' ids and attributes into a version.
extension BuildPipeline {
    /// Returns how many items have attributes.
    mutating func writeItems(_ identifiers: [Identifier], _ publisher: Publisher) throws -> Int {
        let attributes = try self.recipe.attributes.map {
            try self.readAttributes(self.recipe.resolve($0), identifiers, publisher)
        }
        let writer = try ItemStoreWriter(path: publisher.path(VersionLayout.items))
        for (ordinal, id) in identifiers.enumerated() {
            try writer.append(id, attributes: try attributes?.text(of: ordinal))
        }
        try writer.finish()
        return attributes?.count ?? 0
    }

    /// Joins attributes with items by id, in whatever order they come. O(attributes × log items).
    private mutating func readAttributes(
        _ file: String,
        _ identifiers: [Identifier],
        _ publisher: Publisher
    ) throws -> AttributeSpool {
        let spool = try AttributeSpool(path: publisher.path(".attributes"), items: identifiers.count)
        let reader = try AttributeReader(path: file, skipBadRows: self.recipe.skipBadRows)
        while let entry = try reader.next() {
            let problem: String
            if let ordinal = Self.search(identifiers, entry.identifier) {
                guard spool.contains(ordinal) else {
                    try spool.put(entry.json, at: ordinal)
                    continue
                }
                problem = "the item '\(entry.identifier)' had attributes in an earlier row"
            } else {
                problem = "there is no item '\(entry.identifier)'"
            }
            guard self.recipe.skipBadRows else {
                throw AnnexError(
                    .badInput,
                    problem,
                    at: "\(file):\(entry.row)",
                    hint: "Mend it, or give --skip-bad-rows"
                )
            }
            self.rejects.append((file, RejectedRow(row: entry.row, column: nil, reason: problem)))
        }
        self.rejects += reader.rejects.map { (file: file, row: $0) }
        return spool
    }

    private static func search(_ identifiers: [Identifier], _ id: Identifier) -> Int? {
        var low = 0
        var high = identifiers.count
        while low < high {
            let middle = (low + high) / 2
            if identifiers[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < identifiers.count && identifiers[low] == id ? low : nil
    }
}

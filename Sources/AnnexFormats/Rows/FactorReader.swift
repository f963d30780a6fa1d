package import AnnexCore

/// Reads a factor file from front to back, in blocks. One thread uses it. It holds at most one block and its buffers.
package protocol FactorReader: AnyObject {
    var dimension: Int { get }
    /// It is nil where only reading tells.
    var rowCount: Int? { get }
    var carriesIdentifiers: Bool { get }
    /// Counts rows read so far, those that were left out included.
    var rowsRead: Int { get }
    /// Lists rows that were left out so far.
    var rejects: [RejectedRow] { get }

    /// Fills `block`; false at the end.
    ///
    /// - Throws: `.badInput` with file, row and column (counted from 1) for a bad row, unless bad rows are skipped; for
    ///   a bad file always.
    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool
}

package import AnnexCore

/// Holds some rows of a factor file, at most a few MiB (of an array in Fortran order up to 32).
package struct RowBlock {
    /// Holds `count` × dimension floats, row-major, all finite.
    package var values: [Float] = []
    package var count = 0
    /// Has one id per row where the file carries ids. Else it is empty.
    package var identifiers: [Identifier] = []
    /// Says which of the file's rows each is, counted from 0. Rows that were left out count; headings and blank lines
    /// are no rows. A file of ids has its ids at these places.
    package var rowNumbers: [Int] = []
    /// Holds the line of each row, counted from 0, for messages: a line of a text, else the row's number.
    package var lines: [Int] = []

    package init() {}

    mutating func removeAll() {
        self.values.removeAll(keepingCapacity: true)
        self.identifiers.removeAll(keepingCapacity: true)
        self.rowNumbers.removeAll(keepingCapacity: true)
        self.lines.removeAll(keepingCapacity: true)
        self.count = 0
    }

    /// Rows of a block of 1 MiB.
    static func rows(of dimension: Int) -> Int { max(1, (1 << 18) / dimension) }
}

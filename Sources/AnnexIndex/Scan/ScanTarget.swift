import AnnexCore

/// Holds the memory that a builder fills. Each block and cluster has bytes of its own, so threads may fill different
/// ones at once.
///
/// It is unchecked for that reason.
@unsafe struct ScanTarget: @unchecked Sendable {
    let memory: UnsafeMutableRawPointer
    let offsets: ScanShape.Offsets
    let shape: ScanShape

    func pointer<T>(_ offset: Int, _ type: T.Type) -> UnsafeMutablePointer<T> {
        unsafe (self.memory + offset).assumingMemoryBound(to: type)
    }

    func writeHeader(starts: [Int], center: [Float]) {
        let header = unsafe ScanHeader.encode(self.shape)
        for (offset, byte) in header.enumerated() { unsafe self.pointer(offset, UInt8.self).pointee = byte }
        let first = unsafe self.pointer(self.offsets.firstBlocks, UInt32.self)
        for (cluster, start) in starts.enumerated() { unsafe first[cluster] = UInt32(start) }
        unsafe first[starts.count] = UInt32(self.shape.blocks)
        let target = unsafe self.pointer(self.offsets.center, Float.self)
        for (component, value) in center.enumerated() { unsafe target[component] = value }
        // Codes behind the last centroid stand for zero.
        let bytes = unsafe self.pointer(self.offsets.centroidCodes, UInt8.self)
        for index in 0..<(unsafe self.shape.centroidBlocks * self.shape.blockCodeBytes) { unsafe bytes[index] = 128 }
    }

    func setBounds(_ block: Int, along: Float, across: Float, leastAlong: Float) {
        unsafe self.pointer(self.offsets.along, Float.self)[block] = along
        unsafe self.pointer(self.offsets.across, Float.self)[block] = across
        unsafe self.pointer(self.offsets.leastAlong, Float.self)[block] = leastAlong
    }

    /// Sets the bounds of the head. On `ip` no item of a block or behind it scores more than the query's length times
    /// the largest of theirs. Elsewhere nothing is known of what stands behind, so nothing stops the scan.
    func boundHead() {
        let norms = unsafe self.pointer(self.offsets.norms, Float.self)
        let errors = unsafe self.pointer(self.offsets.errors, Float.self)
        var largest: Float = 0
        for block in unsafe (0..<self.shape.headBlocks).reversed() {
            largest = unsafe max(largest, errors[block].isFinite ? norms[block] : .infinity)
            unsafe self.setBounds(
                block,
                along: self.shape.metric == .ip ? largest : .infinity,
                across: 0,
                leastAlong: 0
            )
        }
    }

    func setLargest(_ block: Int, norm: Float, error: Float) {
        unsafe self.pointer(self.offsets.norms, Float.self)[block] = norm
        unsafe self.pointer(self.offsets.errors, Float.self)[block] = error
    }

    func setPadding(_ block: Int, _ lane: Int) {
        unsafe self.pointer(self.offsets.ordinals, Int32.self)[block * ScanShape.blockItems + lane] = -1
        unsafe self.setItemCodes(block, lane, [])
    }

    func set(_ block: Int, _ lane: Int, ordinal: Int32, _ code: RowCode, _ codes: [Int8]) {
        let item = block * ScanShape.blockItems + lane
        unsafe self.pointer(self.offsets.ordinals, Int32.self)[item] = ordinal
        unsafe self.pointer(self.offsets.scales, Float.self)[item] = code.scale
        if unsafe self.shape.hasBiases {
            unsafe self.pointer(self.offsets.biases, Float.self)[item] = -code.norm * code.norm / 2
        }
        unsafe self.setItemCodes(block, lane, codes)
    }

    /// Writes the links in the order of slots; each is the slot of an item.
    func setLinks(_ table: LinkTable) {
        let starts = unsafe self.pointer(self.offsets.linkStarts, UInt32.self)
        for (slot, start) in table.starts.enumerated() { unsafe starts[slot] = start }
        let links = unsafe self.pointer(self.offsets.links, Int32.self)
        for (index, link) in table.links.enumerated() { unsafe links[index] = link }
    }

    func setDirection(_ cluster: Int, _ direction: [Float], center: [Float]) {
        let target = unsafe self.pointer(self.offsets.centroids, Float.self) + cluster * self.shape.groups * 4
        for (component, value) in direction.enumerated() { unsafe target[component] = value }
        var codes = [Int8](repeating: 0, count: direction.count)
        let code = RowCode(center.isEmpty ? direction : zip(direction, center).map { $0 - $1 }, &codes)
        unsafe self.pointer(self.offsets.centroidScales, Float.self)[cluster] = code.scale
        let (block, lane) = cluster.quotientAndRemainder(dividingBy: ScanShape.blockItems)
        unsafe self.setCodes(self.offsets.centroidCodes, block, lane, codes)
    }

    private func setItemCodes(_ block: Int, _ lane: Int, _ codes: [Int8]) {
        let stride = unsafe self.shape.stride
        guard stride > 0 else { return unsafe self.setCodes(self.offsets.codes, block, lane, codes) }
        let item = block * ScanShape.blockItems + lane
        let target = unsafe self.pointer(self.offsets.codes + item * stride, UInt8.self)
        for component in 0..<stride {
            unsafe target[component] = UInt8((component < codes.count ? Int(codes[component]) : 0) + 128)
        }
        if unsafe block < self.shape.seedBlocks { unsafe self.setCodes(self.offsets.seedCodes, block, lane, codes) }
    }

    /// Component c of group g of an item stands at (g * 32 + item) * 4 + c of its block.
    private func setCodes(_ part: Int, _ block: Int, _ lane: Int, _ codes: [Int8]) {
        let target = unsafe self.pointer(part + block * self.shape.blockCodeBytes, UInt8.self)
        for component in 0..<(unsafe self.shape.groups * 4) {
            let code = component < codes.count ? Int(codes[component]) : 0
            let at = (component / 4 * ScanShape.blockItems + lane) * 4 + component % 4
            unsafe target[at] = UInt8(code + 128)
        }
    }
}
